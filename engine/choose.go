package engine

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
