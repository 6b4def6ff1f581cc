package views

import (
	"fettle/views/boards"
	"fettle/views/canvas"
	"fettle/views/compare"
	"fettle/views/deploy"
	"fettle/views/kit"
	"fettle/views/profile"
	"fettle/views/rewrites"
	"fettle/views/start"
)

// route is a screen in the activity bar.
type route struct {
	id, title, icon string
	group           int // a thin rule stands between groups
	make            func(*kit.UI) kit.Screen
}

// routes is the table of screens in the order of the activity bar.
func routes() []route {
	return []route{
		{"start", "Start", "start", 0, start.New},
		{"model", "Model", "model", 1, canvas.New},
		{"compress", "Compress", "compress", 1, newCompress},
		{"rewrites", "Rewrites", "rewrites", 1, rewrites.New},
		{"boards", "Boards", "boards", 2, boards.New},
		{"profile", "Profile", "profile", 2, profile.New},
		{"compare", "Compare", "compare", 2, compare.New},
		{"deploy", "Deploy", "deploy", 3, deploy.New},
	}
}
