// Package theme owns how the window looks: one palette of colours, the sizes, fonts and icons, and their mapping to the
// names of the toolkit. All values come from the design tokens in assets.
//
// It knows no widget and no state. Start reading at New, then at Palette.
package theme

import (
	"encoding/json"
	"fmt"
	"image/color"
	"reflect"
	"strings"
	"unicode"

	"fettle/assets"
)

// Palette is every colour of one appearance. A field is filled from the token of the same name with a small first
// letter; painters read it instead of asking the toolkit.
type Palette struct {
	Bg0, Bg1, Bg2, Bg3, Bg4         color.NRGBA // well, window, panel, control, raised
	Line1, Line2, Line3             color.NRGBA // rules, tracks, edges
	Text1, Text2, Text3, TextOff    color.NRGBA
	Primary, OnPrimary, PrimaryTint color.NRGBA
	Focus                           color.NRGBA
	Success, OnSuccess, SuccessTint color.NRGBA
	Warning, OnWarning, WarningTint color.NRGBA
	Danger, OnDanger, DangerTint    color.NRGBA
	Selection, Hover, Pressed       color.NRGBA
	RunA, RunB, RunC                color.NRGBA
	RunD, RunE, RunF                color.NRGBA
	SealGreen, SealAmber            color.NRGBA
	SealRed, SealNone               color.NRGBA
	Gain, Loss                      color.NRGBA
	Floor, Predicted, NotMeasured   color.NRGBA
	DtF32, DtF16, DtI8, DtI4        color.NRGBA
	DtI3, DtMix, DtB1               color.NRGBA
	DevBig, DevLittle, DevGPU       color.NRGBA
	DevNPU, DevDSP, DevHost         color.NRGBA
	OpConv, OpMat, OpNorm, OpAct    color.NRGBA
	OpPool, OpElem, OpShape         color.NRGBA
	OpCast, OpIO, OpOther           color.NRGBA
	Shadow, Scrim                   color.NRGBA
	FocusFill, Input, Scroll        color.NRGBA
	Heat                            []color.NRGBA // cold to hot; hot is the end far from the background
	tokens                          map[string]color.NRGBA
	kinds                           map[string]string // operator -> token
}

// tokenFile is the part of tokens.json that is read here.
type tokenFile struct {
	Color map[string]map[string]string
	Heat  map[string]json.RawMessage
	Fyne  struct {
		Colors      map[string]string
		Sizes       map[string]float32
		SizesZh     map[string]float32
		CustomSizes map[string]float32
	}
	Category map[string]struct {
		Color string
		Ops   []string
	}
}

func readTokens() tokenFile {
	var t tokenFile
	if err := json.Unmarshal(assets.Tokens, &t); err != nil {
		panic("theme: tokens.json: " + err.Error()) // embedded: a test reads it
	}
	return t
}

func appearance(dark bool) string {
	if dark {
		return "dark"
	}
	return "light"
}

// Colors is the palette of the dark or the light appearance.
func Colors(dark bool) *Palette { return readTokens().palette(dark) }

func (t tokenFile) palette(dark bool) *Palette {
	p := &Palette{tokens: map[string]color.NRGBA{}, kinds: map[string]string{}}
	for name, text := range t.Color[appearance(dark)] {
		p.tokens[name] = parse(text)
	}
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type != reflect.TypeOf(color.NRGBA{}) {
			continue
		}
		c, ok := p.tokens[tokenName(f.Name)]
		if !ok {
			panic("theme: no token for " + f.Name)
		}
		v.Field(i).Set(reflect.ValueOf(c))
	}
	var stops []string
	if err := json.Unmarshal(t.Heat[appearance(dark)], &stops); err != nil {
		panic("theme: heat: " + err.Error())
	}
	for _, s := range stops {
		p.Heat = append(p.Heat, parse(s))
	}
	for _, c := range t.Category {
		for _, op := range c.Ops {
			p.kinds[op] = c.Color
		}
	}
	return p
}

func tokenName(field string) string {
	return string(unicode.ToLower(rune(field[0]))) + field[1:]
}

// parse reads #RRGGBB or #RRGGBBAA.
func parse(s string) color.NRGBA {
	c := color.NRGBA{A: 0xff}
	n, err := fmt.Sscanf(s, "#%02x%02x%02x%02x", &c.R, &c.G, &c.B, &c.A)
	if n < 3 || (n == 3 && len(s) != 7) || (n == 4 && err != nil) {
		panic("theme: bad colour " + s)
	}
	return c
}

// Token is a colour by the name of its token; grey where there is none.
func (p *Palette) Token(name string) color.NRGBA {
	if c, ok := p.tokens[name]; ok {
		return c
	}
	return p.Text3
}

// HeatAt is the heat colour of t from 0, cold, to 1, hot.
func (p *Palette) HeatAt(t float64) color.NRGBA {
	if !(t > 0) {
		return p.Heat[0]
	}
	if t >= 1 {
		return p.Heat[len(p.Heat)-1]
	}
	x := t * float64(len(p.Heat)-1)
	i := int(x)
	return Mix(p.Heat[i], p.Heat[i+1], x-float64(i))
}

// Mix goes from a, at 0, to b, at 1.
func Mix(a, b color.NRGBA, t float64) color.NRGBA {
	f := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*t + 0.5) }
	return color.NRGBA{R: f(a.R, b.R), G: f(a.G, b.G), B: f(a.B, b.B), A: f(a.A, b.A)}
}

// Alpha is c with another opacity, 0 to 1.
func Alpha(c color.NRGBA, a float64) color.NRGBA {
	c.A = uint8(a*255 + 0.5)
	return c
}

// Op is the colour of an operator's kind, for the chip that always stands beside its name.
func (p *Palette) Op(op string) color.NRGBA {
	if i := strings.LastIndexByte(op, ':'); i >= 0 {
		op = op[i+1:]
	}
	if t, ok := p.kinds[op]; ok {
		return p.Token(t)
	}
	if strings.HasPrefix(op, "Reduce") {
		return p.OpPool
	}
	return p.OpOther
}

// DType is the colour of a number type: f32, float32, i8, int8 and so on.
func (p *Palette) DType(t string) color.NRGBA {
	switch t {
	case "f16", "bf16", "float16", "bfloat16":
		return p.DtF16
	case "i8", "u8", "int8", "uint8":
		return p.DtI8
	case "i4", "u4", "int4", "uint4":
		return p.DtI4
	case "i3", "int3":
		return p.DtI3
	case "mix", "mixed":
		return p.DtMix
	case "bool":
		return p.DtB1
	}
	return p.DtF32
}

// Device is the colour of a kind of device.
func (p *Palette) Device(kind string) color.NRGBA {
	switch kind {
	case "big":
		return p.DevBig
	case "little":
		return p.DevLittle
	case "gpu":
		return p.DevGPU
	case "npu":
		return p.DevNPU
	case "dsp":
		return p.DevDSP
	}
	return p.DevHost
}

// Seal is the colour of a seal: green, amber, red, or anything else for not measured.
func (p *Palette) Seal(seal string) color.NRGBA {
	switch seal {
	case "green":
		return p.SealGreen
	case "amber":
		return p.SealAmber
	case "red":
		return p.SealRed
	}
	return p.SealNone
}

// Run is the colour of the i-th run of a comparison; A, 0, is always the older.
func (p *Palette) Run(i int) color.NRGBA {
	runs := []color.NRGBA{p.RunA, p.RunB, p.RunC, p.RunD, p.RunE, p.RunF}
	return runs[((i%len(runs))+len(runs))%len(runs)]
}

// Ink is the text colour that reads best on a filled data colour.
func (p *Palette) Ink(on color.NRGBA) color.NRGBA {
	l := 0.2126*float64(on.R) + 0.7152*float64(on.G) + 0.0722*float64(on.B)
	if l > 120 {
		return color.NRGBA{R: 0x08, G: 0x10, B: 0x18, A: 0xff}
	}
	return color.NRGBA{R: 0xff, G: 0xff, B: 0xff, A: 0xff}
}
