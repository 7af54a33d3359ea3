package app

import (
	"context"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
)

// Command carries out a command as the uplink does once its envelope was found
// good.
func (a *App) Command(ctx context.Context, c shedguard.Command) (any, error) {
	return a.command(ctx, c)
}

// Arm arms the suppression as the fusion of the senses does.
func (a *App) Arm(ctx context.Context, f *actuate.Fire) error { return a.suppressor.Arm(ctx, f) }
