package engine

import "fettle/kernels/conv"

// packer is a kernel that packs weights.
type packer interface{ PackedLen() int }

// choose takes the best kernel of a list, best first. A small plan takes the best whose packed weights have at most a third
// more words than the model's, else the one that needs least.
func choose[A packer](opt *Options, list []A, words int) A {
	if !opt.Small {
		return list[0]
	}
	least := list[0]
	for _, a := range list {
		n := a.PackedLen()
		if n <= words+words/3 {
			return a
		}
		if n < least.PackedLen() {
			least = a
		}
	}
	return least
}

// chooseConv is choose for convolutions, by the scores of the processor where there are any; why says so. Scores never choose the portable kernel.
func chooseConv[A packer](opt *Options, list []A, s conv.Shape, int8 bool, name func(A) string, words int) (a A, why string) {
	if opt.Small {
		return choose(opt, list, words), ""
	}
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = name(a)
	}
	at, why := byScore(opt.Scores, s, int8, opt.Threads, names)
	return list[at], why
}
