// Package catalog owns the one ordered table of passes, with the reasons for the order, and the built-in
// recipe "standard". It knows no model. Start reading at Passes.
package catalog

import (
	"fettle/optimizer"
	"fettle/optimizer/blocks"
	"fettle/optimizer/distill"
	"fettle/optimizer/prune"
	"fettle/optimizer/quantize"
	"fettle/optimizer/rewrite"
)

// Passes is the table in the order in which a recipe should run them. Every constraint has its reason; a test
// holds the table to them, and Advise holds recipes to them.
func Passes() optimizer.Table {
	return optimizer.Table{
		{New: rewrite.NewEliminateDead},
		{New: quantize.NewImport, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "weights that are listed as inputs are constants only once they are unlisted"},
		}},
		{New: rewrite.NewFoldConstants, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "weights that are listed as inputs are constants only once they are unlisted"},
			{Pass: "import-quantized", Why: "rounded weights would be computed to floats, and their integers forgotten"},
		}},
		{New: distill.NewStudent, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "weights that are listed as inputs would count as inputs of the model"},
		}},
		{New: prune.NewShrink, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "weights that are listed as inputs are constants only once they are unlisted"},
			{Pass: "fold-constants", Why: "weights and shapes that are computed from constants lock channels"},
		}},
		{New: prune.New, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "weights that are listed as inputs are constants only once they are unlisted"},
			{Pass: "fold-constants", Why: "weights and shapes that are computed from constants lock channels"},
			{Pass: "shrink-channels", Why: "it removes what the training made zero; what is left may be cut further"},
		}},
		{New: prune.NewRemoveBlocks, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "shapes that are computed from constants are known only then"},
		}},
		{New: blocks.New, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "weights that are listed as inputs would count as inputs of a block"},
			{Pass: "fold-constants", Why: "shapes that are computed from constants are known only then"},
			{Pass: "prune-channels", Why: "it learns from the model as it finds it, and chooses for it"},
			{Pass: "remove-blocks", Why: "blocks that go need no stand-ins"},
		}},
		{New: prune.NewLowRank, After: []optimizer.Order{
			{Pass: "prune-channels", Why: "two thin layers in the place of one have no channels to spare"},
			{Pass: "remove-blocks", Why: "layers of blocks that go need no factors"},
		}},
		{New: prune.NewSparsify, After: []optimizer.Order{
			{Pass: "prune-channels", Why: "the refit of what a removal left would fill the zeros again"},
			{Pass: "factorize", Why: "the factors of a matrix with zeros have none"},
		}},
		{New: distill.New, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "shapes that are computed have no gradient"},
			{Pass: "student", Why: "a student knows nothing before it has learned"},
			{Pass: "prune-channels", Why: "it learns back what the removal lost"},
			{Pass: "shrink-channels", Why: "without the pull it learns back what that cost"},
			{Pass: "remove-blocks", Why: "it learns back what the blocks did"},
			{Pass: "replace-blocks", Why: "stand-ins learned each by itself; together they come closer to the whole"},
			{Pass: "factorize", Why: "it learns back what the missing directions did"},
		}},
		{New: rewrite.NewFoldBatchNorm, After: []optimizer.Order{
			{Pass: "eliminate-dead", Why: "an Identity or Dropout between convolution and normalisation hides the pattern"},
			{Pass: "fold-constants", Why: "weights that are computed from constants can only be folded into once they are constants"},
		}},
		{New: rewrite.NewFuseResidual, After: []optimizer.Order{
			{Pass: "prune-channels", Why: "fused operators hide the sums that channels go through"},
			{Pass: "replace-blocks", Why: "fused operators have no gradient, so stand-ins could not learn"},
			{Pass: "distill", Why: "fused operators have no gradient"},
			{Pass: "fold-batchnorm", Why: "a normalisation between convolution and sum hides the pattern"},
		}},
		{New: rewrite.NewFuseBias, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "a bias that is computed from constants is a vector only once it is one"},
		}},
		{New: rewrite.NewFoldScale, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "a scale that is computed, such as a root of the width of a head, is a number only once it is one"},
			{Pass: "fuse-bias", Why: "a bias between the layer and the scale hides the pattern"},
		}},
		{New: rewrite.NewFuseGelu, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "the numbers of the formula may be computed, such as the root of 2, or stand behind a Cast"},
		}},
		{New: rewrite.NewFuseLayerNorm, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "epsilon, scale and shift may be computed from constants"},
		}},
		{New: rewrite.NewFuseActivation, After: []optimizer.Order{
			{Pass: "fold-batchnorm", Why: "a convolution that is fused already takes no normalisation over"},
			{Pass: "fuse-residual", Why: "the activation function behind a sum belongs to the convolution that took the sum over"},
			{Pass: "fold-scale", Why: "a layer takes no scale over that stands behind its activation function"},
			{Pass: "fuse-gelu", Why: "GELU as a formula is no activation function yet"},
			{Pass: "fuse-bias", Why: "the activation function behind a bias belongs to the product that took the bias over"},
		}},
		{New: quantize.NewEqualize, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "only constant weights can take scales over"},
			{Pass: "fold-batchnorm", Why: "a normalisation between two layers hides the pair"},
		}},
		{New: quantize.NewSmooth, After: []optimizer.Order{
			{Pass: "fold-constants", Why: "only constant weights can take scales over"},
			{Pass: "fuse-layernorm", Why: "a normalisation in single operators is not seen"},
		}},
		{New: quantize.New, After: []optimizer.Order{
			{Pass: "smooth", Why: "the ranges that are measured should be those of the smoothed columns"},
			{Pass: "equalize", Why: "the ranges that are measured should be those of the equalised channels"},
			{Pass: "fold-constants", Why: "weights have to be constants to be stored as integers"},
			{Pass: "fold-batchnorm", Why: "a normalisation behind an integer convolution stays a float layer"},
			{Pass: "fuse-activation", Why: "the range behind the activation function is the one that counts"},
			{Pass: "fuse-residual", Why: "a fused sum needs one rounding less"},
		}},
		{New: quantize.NewCluster, After: []optimizer.Order{
			{Pass: "prune-channels", Why: "what it removes needs no values"},
			{Pass: "fold-batchnorm", Why: "folding would give the weights of each channel values of their own again"},
			{Pass: "quantize", Why: "it leaves the layers that quantize has stored as integers"},
		}},
		{New: quantize.NewStatistics, After: []optimizer.Order{
			{Pass: "prune-channels", Why: "it makes up for what the removal did to the values"},
			{Pass: "quantize", Why: "it makes up for what coarser weights did to the values"},
		}},
	}
}

// Standard is the built-in recipe: every rewrite that leaves the outputs equal up to rounding.
func Standard() *optimizer.Recipe {
	return &optimizer.Recipe{Schema: 1, Seed: 1, Steps: []optimizer.RecipeStep{
		{Pass: "eliminate-dead", Options: map[string]any{"input_weights": "fix"}},
		{Pass: "fold-constants"},
		{Pass: "fold-batchnorm"},
		{Pass: "fuse-residual"},
		{Pass: "fuse-bias"},
		{Pass: "fold-scale"},
		{Pass: "fuse-gelu"},
		{Pass: "fuse-layernorm"},
		{Pass: "fuse-activation"},
	}}
}

// Advice is a pair of steps that stand in the wrong order, with the reason.
type Advice struct {
	Step, Before int // step Step should stand after step Before, which comes later
	Why          string
}

// Advise lists the steps of a recipe that stand before one they should follow. It forbids nothing: a user may
// know better.
func Advise(r *optimizer.Recipe) []Advice {
	after := map[string][]optimizer.Order{}
	for _, row := range Passes() {
		after[row.New().Info().Name] = row.After
	}
	var out []Advice
	for i, s := range r.Steps {
		for _, o := range after[s.Pass] {
			earlier := false
			for _, e := range r.Steps[:i] {
				earlier = earlier || e.Pass == o.Pass
			}
			for j := i + 1; j < len(r.Steps) && !earlier; j++ {
				if r.Steps[j].Pass == o.Pass {
					out = append(out, Advice{Step: i, Before: j, Why: o.Why})
					break
				}
			}
		}
	}
	return out
}
