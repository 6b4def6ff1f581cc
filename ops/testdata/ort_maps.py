"""python3 ort_maps.py LIBRARY DIR: runs the models that DIR/list.json names in ONNX Runtime through its C interface, for values
that are maps. Writes DIR/results, a line for each: what it gave, with all elements as text, or the error."""
import ctypes, json, os, sys
from ctypes import POINTER, byref, c_char_p, c_float, c_double, c_int, c_int64, c_size_t, c_void_p

FLOAT, INT64, STRING, DOUBLE = 1, 7, 8, 11  # element types
KINDS = {FLOAT: ("float32", c_float), INT64: ("int64", c_int64), STRING: ("string", None), DOUBLE: ("float64", c_double)}
CODES = {name: (code, c) for code, (name, c) in KINDS.items()}
TENSOR, SEQUENCE, MAP = 1, 2, 3  # kinds of values


class Base(ctypes.Structure):
    _fields_ = [("get_api", ctypes.CFUNCTYPE(POINTER(c_void_p), ctypes.c_uint32)), ("version", ctypes.CFUNCTYPE(c_char_p))]


# Places of functions in OrtApi, whose order never changes.
PLACES = dict(GetErrorMessage=2, CreateEnv=3, CreateSession=7, Run=9, CreateSessionOptions=10, SetIntraOpNumThreads=24, SessionGetOutputCount=31,
              CreateTensorAsOrtValue=48, GetTensorMutableData=51, FillStringTensor=52, GetStringTensorDataLength=53, GetStringTensorContent=54,
              GetTensorElementType=60, GetDimensionsCount=61, GetDimensions=62, GetTensorShapeElementCount=64, GetTensorTypeAndShape=65,
              GetValueType=67, GetAllocatorWithDefaultOptions=78, GetValue=80, GetValueCount=81, CreateValue=82)


class Ort:
    def __init__(self, library):
        lib = ctypes.CDLL(library)
        lib.OrtGetApiBase.restype = POINTER(Base)
        self.api = lib.OrtGetApiBase().contents.get_api(8)
        self.env = self.new("CreateEnv", 4, b"maps")
        self.options = self.new("CreateSessionOptions")
        self.call("SetIntraOpNumThreads", self.options, 1)
        self.heap = self.new("GetAllocatorWithDefaultOptions")

    def call(self, name, *args):
        status = ctypes.CFUNCTYPE(c_void_p)(self.api[PLACES[name]])(*args)
        if status:
            raise RuntimeError(ctypes.CFUNCTYPE(c_char_p, c_void_p)(self.api[PLACES["GetErrorMessage"]])(status).decode())

    def new(self, name, *args, kind=c_void_p):
        out = kind()
        self.call(name, *args, byref(out))
        return out

    def line(self, dtype, items):
        """a tensor of one dimension"""
        code, c = CODES[dtype]
        t = self.new("CreateTensorAsOrtValue", self.heap, (c_int64 * 1)(len(items)), c_size_t(1), code)
        if dtype == "string":
            self.call("FillStringTensor", t, (c_char_p * len(items))(*[s.encode() for s in items]), c_size_t(len(items)))
        else:
            data = ctypes.cast(self.new("GetTensorMutableData", t), POINTER(c))
            for i, s in enumerate(items):
                data[i] = int(s) if dtype == "int64" else float(s)
        return t

    def map(self, m):
        parts = (c_void_p * 2)(self.line(m["key"], m["keys"]), self.line(m["value"], m["values"]))
        return self.new("CreateValue", parts, c_size_t(2), MAP)

    def run(self, model, feed):
        session = self.new("CreateSession", self.env, model.encode(), self.options)
        names, values = (c_char_p * 1)(b"x0_0"), (c_void_p * 1)()
        if feed:
            values[0] = self.map(feed)
        out = (c_void_p * 1)()
        self.call("Run", session, None, names, values, c_size_t(1 if feed else 0), (c_char_p * 1)(b"y0_0"), c_size_t(1), out)
        return self.read(c_void_p(out[0]))

    def read(self, v):
        kind = self.new("GetValueType", v, kind=c_int).value
        if kind == TENSOR:
            return self.tensor(v)
        n = self.new("GetValueCount", v, kind=c_size_t).value
        return {"kind": "map" if kind == MAP else "sequence", "parts": [self.read(self.new("GetValue", v, i, self.heap)) for i in range(n)]}

    def tensor(self, v):
        info = self.new("GetTensorTypeAndShape", v)
        code = self.new("GetTensorElementType", info, kind=c_int).value
        rank = self.new("GetDimensionsCount", info, kind=c_size_t).value
        n = self.new("GetTensorShapeElementCount", info, kind=c_size_t).value
        dims = (c_int64 * rank)()
        self.call("GetDimensions", info, dims, c_size_t(rank))
        name, c = KINDS[code]
        if code == STRING:
            size = self.new("GetStringTensorDataLength", v, kind=c_size_t).value
            text, at = ctypes.create_string_buffer(size + 1), (c_size_t * n)()
            if n:
                self.call("GetStringTensorContent", v, text, c_size_t(size), at, c_size_t(n))
            ends = list(at[1:]) + [size]
            items = [text.raw[a:b].decode() for a, b in zip(at, ends)]
        else:
            data = ctypes.cast(self.new("GetTensorMutableData", v), POINTER(c))
            items = [repr(data[i]) for i in range(n)]
        return {"kind": "tensor", "dtype": name, "shape": list(dims), "items": items}


ort, folder = Ort(sys.argv[1]), sys.argv[2]
with open(os.path.join(folder, "list.json")) as f, open(os.path.join(folder, "results"), "w") as results:
    for n, feed in enumerate(json.load(f)):
        try:
            r = ort.run(os.path.join(folder, "%d.onnx" % n), feed)
        except RuntimeError as e:
            r = {"error": str(e)}
        results.write(json.dumps(r) + "\n")
