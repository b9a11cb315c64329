// Event stream libraries written in Go: their readers are measured, and their servers serve.
//
//	go run . read ROUNDS FILE
//	go run . --serve-as NAME
//
// The bench beside it starts this, and checks what comes of it.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

var errUsage = errors.New("usage: go run . read ROUNDS FILE | --serve-as NAME")

// cpuTime is that of the whole process: the collector works on other threads.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// version is that of a module in this build.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return ""
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return errUsage
	}
	switch arguments[0] {
	case "read":
		return read(arguments[1:])
	case "--serve-as":
		return serve(arguments[1:])
	}
	return errUsage
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
