// Command shedguard-vision is shedguard's eyes: it looks at pictures, videos and
// cameras for flame and smoke. It is the only program of shedguard that needs
// OpenCV.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/shedguard/shedguard/internal/logflags"
	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/model"
	"github.com/shedguard/shedguard/vision/opencv"
)

// version is set by the linker.
var version = "dev"

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// cli is what people type.
type cli struct {
	logflags.Flags

	Run      runCmd      `cmd:"" help:"Watch cameras and tell what is confirmed."`
	Try      tryCmd      `cmd:"" help:"Look at pictures and videos, and tell and draw what is seen."`
	Evaluate evaluateCmd `cmd:"" help:"Look at labelled pictures and tell how well flame and smoke are told from everything else."`
	Bench    benchCmd    `cmd:"" help:"Measure how long one frame takes on this machine."`
	Version  versionCmd  `cmd:"" help:"Tell the versions of program, model and OpenCV."`
}

// env is what a command works with.
type env struct {
	ctx  context.Context //nolint:containedctx // kong hands commands their arguments by type
	in   io.Reader
	out  io.Writer
	errs io.Writer
	log  *slog.Logger
}

// run is main without the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("shedguard-vision"),
		kong.Description("Looks for flame and smoke.\n\n"+
			"Try it on a picture, a video or a folder of them: shedguard-vision try FILE --out seen"),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return fail(errs, err, exitFailed)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		return fail(errs, fmt.Errorf("%w; see shedguard-vision --help", err), exitUsage)
	}
	e := &env{ctx: ctx, in: in, out: out, errs: errs, log: c.Logger(errs)}
	if err := parsed.Run(e); err != nil {
		code := exitFailed
		if _, ok := errors.AsType[usageError](err); ok {
			code = exitUsage
		}
		return fail(errs, err, code)
	}
	return exitDone
}

// usageError is an error that is the caller's to mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func fail(errs io.Writer, err error, code int) int {
	fmt.Fprintf(errs, "shedguard-vision: %v\n", err)
	return code
}

// modelFlags say with which model and how many threads a command works.
type modelFlags struct {
	Model   string `type:"existingdir" placeholder:"DIR" help:"Use the model in this folder (one .onnx file and model.json) instead of the one that is built in."`
	Threads int    `default:"1" placeholder:"N" help:"Threads that work on one picture; ${default} unless given."`
}

// load is the model and its settings.
func (f modelFlags) load() ([]byte, vision.Settings, error) {
	if f.Threads < 1 || f.Threads > 64 {
		return nil, vision.Settings{}, usageError{fmt.Errorf("--threads %d: want 1 to 64", f.Threads)}
	}
	if f.Model == "" {
		s, err := model.Settings()
		return model.ONNX(), s, err
	}
	found, err := filepath.Glob(filepath.Join(f.Model, "*.onnx"))
	if err != nil {
		return nil, vision.Settings{}, usageError{fmt.Errorf("--model: %w", err)}
	}
	if len(found) != 1 {
		return nil, vision.Settings{}, usageError{fmt.Errorf("--model %s: %d files .onnx: want one", f.Model, len(found))}
	}
	onnx, err := os.ReadFile(found[0])
	if err != nil {
		return nil, vision.Settings{}, usageError{err}
	}
	path := filepath.Join(f.Model, "model.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, vision.Settings{}, usageError{err}
	}
	s, err := vision.ParseSettings(b)
	if err != nil {
		return nil, s, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return onnx, s, nil
}

// open is a detector that is ready to see.
func (f modelFlags) open() (*opencv.Detector, vision.Settings, error) {
	onnx, s, err := f.load()
	if err != nil {
		return nil, s, err
	}
	opencv.SetThreads(f.Threads)
	d, err := opencv.NewDetector(onnx, s)
	return d, s, err
}

type versionCmd struct{}

// Run tells the versions.
func (versionCmd) Run(e *env) error {
	s, err := model.Settings()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "shedguard-vision %s %s %s/%s, model %s %s, OpenCV %s\n",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH, s.Name, s.Version, opencv.Version())
	return err
}
