package kit

import "fettle/assets"

// Phrases translate sentences that were put together elsewhere, in English.
type Phrases = assets.Phrases

// NewPhrases reads the translations of the window, once for all screens.
func (u *UI) NewPhrases() *Phrases {
	if u.phrases == nil {
		u.phrases = assets.NewPhrases(u.words)
	}
	return u.phrases
}

// Say translates a sentence that was put together elsewhere.
func (u *UI) Say(text string) string { return u.NewPhrases().Say(text) }
