package main

import (
	"errors"
	"fmt"

	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/config"
	"github.com/shedguard/shedguard/cloud/notify"
)

type notifyCmd struct {
	Test notifyTestCmd `cmd:"" help:"Send a test message to a person, or over a channel, and tell whether it was taken. It can be used beside a running collector."`
}

type notifyTestCmd struct {
	Name   string `arg:"" help:"Name of a person or a channel of the configuration."`
	Config string `required:"" short:"c" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run sends the message and waits for the outcome.
func (c *notifyTestCmd) Run(e *env) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return usageError{err}
	}
	if err := notify.Try(e.ctx, cfg.Notify, c.Name); err != nil {
		if errors.Is(err, book.ErrNotFound) {
			return usageError{err}
		}
		return err
	}
	fmt.Fprintf(e.out, "%s: the message was taken\n", c.Name)
	return nil
}
