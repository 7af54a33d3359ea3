package app

import (
	"context"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/status"
	"github.com/shedguard/shedguard/gateway/watch"
	"github.com/shedguard/shedguard/vision/report"
)

// Command carries out a command as the uplink does once its envelope was found
// good.
func (a *App) Command(ctx context.Context, c shedguard.Command) (any, error) {
	return a.command(ctx, c)
}

// Arm arms the suppression as the fusion of the senses does.
func (a *App) Arm(ctx context.Context, f *actuate.Fire) error { return a.suppressor.Arm(ctx, f) }

// Told is what the retained status says.
func (a *App) Told() shedguard.Status { return a.told() }

// Unheard is what the metrics of the eyes are after lines of the worker that nobody
// takes, while there is room for some of them.
func Unheard(room, lines int) []status.Metric {
	e := &eyes{worker: &watch.Worker{}, lines: make(chan report.Line, room)}
	for range lines {
		e.take(report.Line{Hello: &report.Hello{}})
	}
	return e.metrics()
}
