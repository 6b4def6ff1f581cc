/* Runs a .tflite file, as Fettle writes them, in XNNPACK itself, without TensorFlow Lite around it: what Debian builds of it. The interface is that of peer.c.
 * A graph with an operator that this XNNPACK has no node for (concatenation in 2022) is refused. The file is trusted: it is ours. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <pthreadpool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xnnpack.h>

static const char *b; /* the file */
static xnn_subgraph_t graph;

static void die(const char *what, int n) { fprintf(stderr, "%s %d\n", what, n); exit(1); }
#define CHECK(x) do { enum xnn_status s_ = (x); if (s_ != xnn_status_success) die(#x, s_); } while (0)

/* FlatBuffers: a table is its position, a vector the position of its length. */
static uint32_t u32(size_t at) { uint32_t v; memcpy(&v, b + at, 4); return v; }
static size_t field(size_t table, int id)
{
	size_t vtable = table - (int32_t)u32(table);
	uint16_t size, off;
	memcpy(&size, b + vtable, 2);
	if (4 + 2 * id + 2 > size) return 0;
	memcpy(&off, b + vtable + 4 + 2 * id, 2);
	return off ? table + off : 0;
}
static size_t ref(size_t table, int id) { size_t p = field(table, id); return p ? p + u32(p) : 0; }
static int num(size_t table, int id, int def) { size_t p = table ? field(table, id) : 0; return p ? (int)u32(p) : def; }
static int byte(size_t table, int id) { size_t p = table ? field(table, id) : 0; return p ? b[p] : 0; }
static int len(size_t v) { return v ? (int)u32(v) : 0; }
static int item(size_t v, int i) { return (int)u32(v + 4 + 4 * i); }
static size_t table(size_t v, int i) { size_t p = v + 4 + 4 * i; return p + u32(p); }

struct value { size_t at, dims[6]; int n, type; uint32_t id, flags, outer; const void *data; size_t bytes; };
static struct value *values;
static size_t buffers;

static struct value *load(size_t tensors, int i)
{
	struct value *v = &values[i];
	v->at = table(tensors, i);
	v->type = byte(v->at, 1);
	v->id = v->outer = XNN_INVALID_VALUE_ID;
	size_t shape = ref(v->at, 0);
	v->n = len(shape);
	if (v->n > 6) die("dimensions", v->n);
	v->bytes = v->type == 0 || v->type == 2 ? 4 : 1;
	for (int k = 0; k < v->n; k++) v->bytes *= v->dims[k] = (size_t)item(shape, k);
	size_t data = ref(table(buffers, num(v->at, 2, 0)), 0);
	v->data = data ? b + data + 4 : NULL;
	return v;
}

/* id defines a value the first time it is asked for. */
static uint32_t id(struct value *v)
{
	if (v->id != XNN_INVALID_VALUE_ID) return v->id;
	size_t q = ref(v->at, 4), scale = q ? ref(q, 2) : 0, zero = q ? ref(q, 3) : 0;
	int bytes = v->type == 9;
	if (v->type != 0 && v->type != 2 && !bytes) die("type", v->type);
	if (len(scale) > 1)
		CHECK(xnn_define_channelwise_quantized_tensor_value(graph, bytes ? xnn_datatype_qcint8 : xnn_datatype_qcint32, (const float *)(b + scale + 4), v->n,
			num(q, 6, 0), v->dims, v->data, v->outer, v->flags, &v->id));
	else if (len(scale) == 1) {
		float s;
		memcpy(&s, b + scale + 4, 4);
		CHECK(xnn_define_quantized_tensor_value(graph, bytes ? xnn_datatype_qint8 : xnn_datatype_qint32, item(zero, 0), s, v->n, v->dims, v->data, v->outer, v->flags, &v->id));
	} else
		CHECK(xnn_define_tensor_value(graph, xnn_datatype_fp32, v->n, v->dims, v->data, v->outer, v->flags, &v->id));
	return v->id;
}

static void node(int code, size_t in, size_t out, size_t o)
{
	struct value *x = &values[item(in, 0)], *y = &values[item(out, 0)];
	struct value *w = len(in) > 1 ? &values[item(in, 1)] : NULL, *c = len(in) > 2 ? &values[item(in, 2)] : NULL;
	float lo = -INFINITY, hi = INFINITY;
	static const int actAt[] = {[0] = 0, [1] = 5, [3] = 3, [4] = 4, [9] = 0, [17] = 5, [18] = 0, [41] = 0};
	if (code == 0 || code == 1 || code == 3 || code == 4 || code == 9 || code == 17 || code == 18 || code == 41) {
		int act = byte(o, actAt[code]);
		if (act == 1 || act == 3) lo = 0;
		if (act == 3) hi = 6;
	}
	uint32_t same = byte(o, 0) == 0 ? XNN_FLAG_TENSORFLOW_SAME_PADDING : 0;
	switch (code) {
	case 0: CHECK(xnn_define_add2(graph, lo, hi, id(x), id(w), id(y), 0)); break;
	case 18: CHECK(xnn_define_multiply2(graph, lo, hi, id(x), id(w), id(y), 0)); break;
	case 41: CHECK(xnn_define_subtract(graph, lo, hi, id(x), id(w), id(y), 0)); break;
	case 3:
		CHECK(xnn_define_convolution_2d(graph, 0, 0, 0, 0, w->dims[1], w->dims[2], num(o, 2, 1), num(o, 1, 1), num(o, 5, 1), num(o, 4, 1), 1, w->dims[3], w->dims[0], lo, hi,
			id(x), id(w), id(c), id(y), same));
		break;
	case 4:
		CHECK(xnn_define_depthwise_convolution_2d(graph, 0, 0, 0, 0, w->dims[1], w->dims[2], num(o, 2, 1), num(o, 1, 1), num(o, 6, 1), num(o, 5, 1), num(o, 3, 1), x->dims[3], lo, hi,
			id(x), id(w), id(c), id(y), same));
		break;
	case 9: CHECK(xnn_define_fully_connected(graph, lo, hi, id(x), id(w), id(c), id(y), 0)); break;
	case 17: CHECK(xnn_define_max_pooling_2d(graph, 0, 0, 0, 0, num(o, 4, 1), num(o, 3, 1), num(o, 2, 1), num(o, 1, 1), 1, 1, lo, hi, id(x), id(y), same)); break;
	case 1: CHECK(xnn_define_average_pooling_2d(graph, 0, 0, 0, 0, num(o, 4, 1), num(o, 3, 1), num(o, 2, 1), num(o, 1, 1), lo, hi, id(x), id(y), same)); break;
	case 40: {
		const int32_t *axes = w->data;
		if (x->n != 4 || w->dims[0] != 2 || axes[0] != 1 || axes[1] != 2 || y->n != 4) die("no node for MEAN over other dimensions", 0);
		CHECK(xnn_define_global_average_pooling_2d(graph, lo, hi, id(x), id(y), 0));
		break;
	}
	case 34: {
		size_t before[6], after[6];
		const int32_t *p = w->data;
		for (int k = 0; k < x->n; k++) before[k] = (size_t)p[2 * k], after[k] = (size_t)p[2 * k + 1];
		CHECK(xnn_define_static_constant_pad(graph, before, after, 0, id(x), id(y), 0));
		break;
	}
	case 22: CHECK(xnn_define_static_reshape(graph, y->n, y->dims, id(x), id(y), 0)); break;
	case 14: CHECK(xnn_define_sigmoid(graph, id(x), id(y), 0)); break;
	case 25: CHECK(xnn_define_softmax(graph, id(x), id(y), 0)); break;
	case 117: CHECK(xnn_define_hardswish(graph, id(x), id(y), 0)); break;
	case 19: CHECK(xnn_define_clamp(graph, 0, INFINITY, id(x), id(y), 0)); break;
	case 21: CHECK(xnn_define_clamp(graph, 0, 6, id(x), id(y), 0)); break;
	case 6: case 114: CHECK(xnn_define_convert(graph, id(x), id(y), 0)); break;
	default: die("XNNPACK has no node for operator", code);
	}
}

static double now(clockid_t c)
{
	struct timespec t;
	clock_gettime(c, &t);
	return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static double rss(void)
{
	long pages = 0, skip;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f) {
		if (fscanf(f, "%ld %ld", &skip, &pages) != 2) pages = 0;
		fclose(f);
	}
	return pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "-version")) return puts(VERSION) < 0;
	if (argc < 3) die("usage: xnn MODEL THREADS [-run IN OUT]", argc);
	int threads = atoi(argv[2]), fd = open(argv[1], O_RDONLY);
	struct stat st;
	double before = rss(), begin = now(CLOCK_MONOTONIC);
	if (fd < 0 || fstat(fd, &st) || (b = mmap(NULL, st.st_size + XNN_EXTRA_BYTES, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) die("the model cannot be read", fd);
	size_t root = u32(0), codes = ref(root, 1), g = table(ref(root, 2), 0), tensors = ref(g, 0), ins = ref(g, 1), outs = ref(g, 2), ops = ref(g, 3);
	buffers = ref(root, 4);
	values = calloc(len(tensors), sizeof *values);
	for (int i = 0; i < len(tensors); i++) load(tensors, i);
	CHECK(xnn_initialize(NULL));
	int external = len(ins) + len(outs);
	CHECK(xnn_create_subgraph(external, 0, &graph));
	struct xnn_external_value *io = calloc(external, sizeof *io);
	for (int i = 0; i < external; i++) {
		struct value *v = &values[i < len(ins) ? item(ins, i) : item(outs, i - len(ins))];
		v->outer = i;
		v->flags = i < len(ins) ? XNN_VALUE_FLAG_EXTERNAL_INPUT : XNN_VALUE_FLAG_EXTERNAL_OUTPUT;
		io[i] = (struct xnn_external_value){i, calloc(1, v->bytes + XNN_EXTRA_BYTES)};
		id(v);
	}
	for (int i = 0; i < len(ops); i++) {
		size_t o = table(ops, i), code = table(codes, num(o, 0, 0));
		node(num(code, 3, 0) > byte(code, 0) ? num(code, 3, 0) : byte(code, 0), ref(o, 1), ref(o, 2), ref(o, 4));
	}
	xnn_runtime_t rt;
	CHECK(xnn_create_runtime_v2(graph, threads > 1 ? pthreadpool_create(threads) : NULL, 0, &rt));
	CHECK(xnn_setup_runtime(rt, external, io));
	double load = now(CLOCK_MONOTONIC) - begin;
	if (argc == 6) {
		FILE *f = fopen(argv[4], "rb");
		for (int i = 0; f && i < len(ins); i++)
			if (fread(io[i].data, 1, values[item(ins, i)].bytes, f) != values[item(ins, i)].bytes) die("the inputs are too short", i);
		CHECK(xnn_invoke_runtime(rt));
		f = fopen(argv[5], "wb");
		for (int i = 0; f && i < len(outs); i++)
			if (fwrite(io[len(ins) + i].data, 1, values[item(outs, i)].bytes, f) != values[item(outs, i)].bytes) die("cannot write the outputs", i);
		return !f || fclose(f);
	}
	uint32_t s = 7;
	for (int i = 0; i < len(ins); i++)
		for (size_t k = 0; k < values[item(ins, i)].bytes / 4; k++) {
			s = s * 1664525u + 1013904223u;
			((float *)io[i].data)[k] = (s >> 8) / 16777216.0f;
		}
	for (int i = 0; i < 3; i++) CHECK(xnn_invoke_runtime(rt));
	fprintf(stderr, "load %.1f rss %.1f\n", load, rss() - before);
	char line[64];
	clockid_t clock = threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	while (fgets(line, sizeof line, stdin)) {
		for (int n = atoi(line); n > 0; n--) {
			begin = now(clock);
			CHECK(xnn_invoke_runtime(rt));
			printf("%.4f ", now(clock) - begin);
		}
		printf("\n");
		fflush(stdout);
	}
	return 0;
}
