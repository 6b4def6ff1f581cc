package app

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fettle/internal/fail"
	"fettle/model"
	"fettle/optimizer/prune"
)

// study is one of n groups with random damages and savings that add up.
func study(n int) *prune.Study {
	r := rand.New(rand.NewPCG(2, 3))
	st := &prune.Study{MACs: 1e9, Bytes: 1e6, Law: &prune.Law{Factor: 2, Power: 1.1, Spread: 0.2}}
	for i := range n {
		g := prune.Studied{Curve: prune.Curve{Group: &prune.Group{Makers: []string{"layer" + string(rune('a'+i%26))}, Channels: 64}}, Layers: []model.NodeID{"id"}}
		damage, saved := 0.0, 0.0
		for gone := 0; gone <= 48; gone += 8 {
			g.Cuts = append(g.Cuts, prune.Cut{Gone: gone, Damage: damage, MACs: st.MACs - saved, Bytes: st.Bytes})
			damage, saved = damage+r.Float64()*0.1, saved+r.Float64()*1e8/float64(n)
		}
		st.Groups = append(st.Groups, g)
	}
	return st
}

func TestTradeoff(t *testing.T) {
	tr, err := NewTradeoff(study(60), "macs")
	if err != nil {
		t.Fatal(err)
	}
	last := math.Inf(1)
	for share := 1.0; share*tr.Whole() > tr.Floor(); share -= 0.02 {
		c, err := tr.At(share * tr.Whole())
		if err != nil {
			t.Fatal(err)
		}
		if c.Cost > share*tr.Whole()*(1+1e-9) || !(c.Low <= c.Damage && c.Damage <= c.High) {
			t.Errorf("share %.2f: cost %g, damage %g in %g to %g", share, c.Cost, c.Damage, c.Low, c.High)
		}
		if share == 1 && c.Damage != 0 {
			t.Errorf("with nothing to save the damage is %g", c.Damage)
		}
		last = c.Damage
	}
	if last <= 0 {
		t.Error("the tightest limit costs nothing")
	}
	if _, err := tr.At(0.99 * tr.Floor()); !fail.Is(err, fail.Invalid) || !strings.Contains(err.Error(), "impossible") {
		t.Errorf("below the floor: %v", err)
	}
	quickest := time.Hour
	for range 5 {
		begin := time.Now()
		if _, err := tr.At(0.9 * tr.Whole()); err != nil {
			t.Fatal(err)
		}
		quickest = min(quickest, time.Since(begin))
	}
	if quickest > 100*time.Millisecond {
		t.Errorf("a slider waits %v", quickest)
	}
	before, _ := tr.At(0.9 * tr.Whole())
	tr.Learn(before, tr.Whole()-0.5*(tr.Whole()-before.Cost), 4*before.Damage)
	after, err := tr.At(0.9 * tr.Whole())
	if err != nil {
		t.Fatal(err)
	}
	if after.Damage < 1.5*before.Damage {
		t.Errorf("half of the saving and four times the damage were measured; expected were %g, now %g", before.Damage, after.Damage)
	}
	if _, err := NewTradeoff(study(3), "ms"); !fail.Is(err, fail.Usage) {
		t.Errorf("limits on a time that nobody took: %v", err)
	}
}
