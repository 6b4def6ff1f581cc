package engine

// rows is the table of lowerings: the first row of an operator that accepts a node builds its step; a node that no row
// accepts runs with its reference kernel.
var rows = []row{
	{"", "Reshape", viewOf},
	{"", "Flatten", viewOf},
	{"", "Squeeze", viewOf},
	{"", "Unsqueeze", viewOf},
	{"", "Identity", viewOf},
	{"", "Dropout", viewOf},
}
