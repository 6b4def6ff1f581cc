package board

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Cache is one cache that core 0 uses.
type Cache struct {
	Level int    `json:"level"`
	Kind  string `json:"kind"` // Data, Instruction, Unified
	Bytes int64  `json:"bytes"`
}

// Sensor is one that says how much power the board takes.
type Sensor struct {
	Chip  string  `json:"chip"`  // ina219, rpi_volt, intel-rapl
	Name  string  `json:"name"`  // label of the channel, or its file
	Watts float64 `json:"watts"` // now; 0 for a counter of energy
	Path  string  `json:"path"`
	Kind  string  `json:"kind"` // "power", "voltage and current", "energy"
}

// Library is an inference engine that lies on the board as a shared library.
type Library struct {
	Name    string `json:"name"` // ONNX Runtime
	Soname  string `json:"soname"`
	Version string `json:"version,omitempty"` // "": its file does not say
	Path    string `json:"path"`
}

// caches reads sizes of /sys.
func caches(r root) (out []Cache, absent string) {
	for i := 0; i < 16; i++ {
		dir := filepath.Join(cpus, "cpu0", "cache", fmt.Sprintf("index%d", i))
		level, ok := r.number(dir, "level")
		if !ok {
			break
		}
		kind, _ := r.read(dir, "type")
		size, err := r.read(dir, "size")
		if err != nil {
			continue
		}
		n, ok := kilo(size)
		if ok && n > 0 {
			out = append(out, Cache{int(level), clean(kind), n})
		}
	}
	if out == nil {
		absent = "caches: no sizes in /sys/devices/system/cpu/cpu0/cache (the device tree does not name them)"
	}
	return out, absent
}

// kilo reads 32K, 1M or plain bytes.
func kilo(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	shift := 0
	switch {
	case strings.HasSuffix(s, "K"):
		shift = 10
	case strings.HasSuffix(s, "M"):
		shift = 20
	}
	n, err := strconv.ParseInt(strings.TrimRight(s, "KM"), 10, 32)
	return n << shift, err == nil
}

// power finds what measures power: chips of hwmon with a power channel or with voltage beside current (INA219, INA226, INA3221), and
// counters of energy of the processor. The reason says what was looked at.
func power(r root) (out []Sensor, absent string) {
	why := []string{}
	for i := 0; i < 64; i++ {
		dir := fmt.Sprintf("sys/class/hwmon/hwmon%d", i)
		chip, err := r.read(dir, "name")
		if err != nil {
			continue
		}
		chip = clean(chip)
		for ch := 1; ch <= 8; ch++ {
			file := fmt.Sprintf("power%d_input", ch)
			micro, ok := r.number(dir, file)
			if !ok {
				file = fmt.Sprintf("power%d_average", ch)
				micro, ok = r.number(dir, file)
			}
			if ok && micro >= 0 && micro < 1e10 {
				out = append(out, Sensor{chip, label(r, dir, fmt.Sprintf("power%d", ch)), float64(micro) / 1e6, "/" + dir + "/" + file, "power"})
				continue
			}
			mv, okV := r.number(dir, fmt.Sprintf("in%d_input", ch))
			ma, okA := r.number(dir, fmt.Sprintf("curr%d_input", ch))
			if okV && okA && mv >= 0 && ma >= 0 && mv < 1e6 && ma < 1e6 {
				out = append(out, Sensor{chip, label(r, dir, fmt.Sprintf("in%d", ch)), float64(mv) * float64(ma) / 1e6, "/" + dir + fmt.Sprintf("/curr%d_input", ch), "voltage and current"})
			}
		}
	}
	for i := 0; i < 8; i++ {
		dir := fmt.Sprintf("sys/class/powercap/intel-rapl:%d", i)
		name, err := r.read(dir, "name")
		if err != nil {
			break
		}
		if _, err := r.read(dir, "energy_uj"); err != nil {
			why = append(why, "the processor's counter may not be read ("+reason(err)+")")
			continue
		}
		out = append(out, Sensor{"intel-rapl", clean(name), 0, "/" + dir + "/energy_uj", "energy"})
	}
	if out == nil {
		why = append([]string{"no power, and no voltage beside a current, in /sys/class/hwmon"}, why...)
		absent = "power: " + strings.Join(why, "; ")
	}
	return out, absent
}

// watts is what the sensors of power say together now. Where one chip measures the board's input, the other channels are parts of it.
func watts(r root) *float64 {
	list, _ := power(r)
	var sum, input float64
	n := 0
	for _, s := range list {
		if s.Kind == "energy" {
			continue
		}
		n++
		sum += s.Watts
		if strings.Contains(strings.ToUpper(s.Name), "IN") && s.Name != "in1" {
			input = max(input, s.Watts)
		}
	}
	switch {
	case n == 0:
		return nil
	case input > 0:
		return &input
	}
	return &sum
}

func label(r root, dir, channel string) string {
	if s, err := r.read(dir, channel+"_label"); err == nil && s != "" {
		return clean(s)
	}
	return channel
}

// reason is an error without its path, which says nothing new.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// engines are the libraries that are looked for.
func engines() []struct{ file, name string } {
	return []struct{ file, name string }{
		{"libonnxruntime.so", "ONNX Runtime"}, {"libtensorflowlite.so", "TensorFlow Lite"}, {"libtensorflow-lite.so", "TensorFlow Lite"},
		{"libtensorflowlite_c.so", "TensorFlow Lite"}, {"libLiteRt.so", "LiteRT"}, {"libarmnn.so", "Arm NN"}, {"libopenvino.so", "OpenVINO"}, {"libncnn.so", "ncnn"},
		{"libMNN.so", "MNN"}, {"libtvm_runtime.so", "TVM"}, {"libarm_compute.so", "Arm Compute Library"}, {"libnvinfer.so", "TensorRT"}, {"librknnrt.so", "RKNN"},
	}
}

// libraryDirs are where libraries lie; * is any folder.
func libraryDirs(home string) []string {
	out := []string{"lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/lib/*", "lib/*", "usr/local/lib/*", "opt/lib", "opt/*/lib", "opt/*/lib/*", "opt/*/*/lib",
		"usr/lib/python3*/*-packages/*/capi", "usr/local/lib/python3*/*-packages/*/capi"}
	if home != "" {
		h := strings.TrimPrefix(home, "/")
		out = append(out, h+"/.local/lib", h+"/lib", h+"/.local/lib/python3*/site-packages/*/capi", h+"/.local/lib/python3*/site-packages/*/lib")
	}
	return out
}

// Libraries looks for engines under dir ("/" outside tests), each file once. home is the user's folder, which may hold some.
func Libraries(dir, home string) (out []Library, absent string) {
	seen := map[string]bool{}
	for _, where := range libraryDirs(home) {
		for _, e := range engines() {
			files, _ := filepath.Glob(filepath.Join(dir, where, e.file+"*")) // the patterns are ours
			slices.Sort(files)
			for _, f := range files[:min(len(files), 16)] {
				real, err := filepath.EvalSymlinks(f)
				if err != nil || seen[real] || len(out) >= 32 {
					continue
				}
				st, err := os.Stat(real)
				if err != nil || !st.Mode().IsRegular() {
					continue
				}
				seen[real] = true
				l := Library{Name: e.name, Soname: soname(real), Path: clean(strings.TrimPrefix(real, strings.TrimSuffix(dir, "/")))}
				if l.Soname == "" {
					l.Soname = clean(filepath.Base(f))
				}
				_, l.Version, _ = strings.Cut(filepath.Base(real), ".so.")
				if l.Version = clean(l.Version); l.Version == "" {
					_, l.Version, _ = strings.Cut(l.Soname, ".so.")
				}
				out = append(out, l)
			}
		}
	}
	if out == nil {
		var names []string
		for _, e := range engines() {
			if !slices.Contains(names, e.name) {
				names = append(names, e.name)
			}
		}
		absent = "libraries of other engines: none of " + strings.Join(names, ", ") + " in the usual folders"
	}
	return out, absent
}

// soname is what a shared library calls itself; "" where the file does not say.
func soname(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil || len(names) == 0 {
		return ""
	}
	return clean(names[0])
}
