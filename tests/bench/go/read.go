package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	tmaxmax "github.com/tmaxmax/go-sse"
	jetify "go.jetify.com/sse"
)

// tally is what a pass comes to.
type tally struct{ events, data, fields int }

type contender struct {
	module, how string
	pass        func(stream []byte) (tally, error)
}

var contenders = []contender{
	{"github.com/tmaxmax/go-sse", "Read", readTmaxmax},
	{"go.jetify.com/sse", "Decoder", readJetify},
}

// Above the longest event of all streams.
const limit = 64 << 20

func readTmaxmax(stream []byte) (sum tally, err error) {
	config := &tmaxmax.ReadConfig{MaxEventSize: limit}
	for event, err := range tmaxmax.Read(bytes.NewReader(stream), config) {
		if err != nil {
			return sum, err
		}
		sum.events++
		sum.data += len(event.Data)
		sum.fields += len(event.Type) + len(event.LastEventID)
	}
	return sum, nil
}

// readJetify counts the bytes of data that is handed out as it came. JSON is not: it is decoded, and
// its text is gone.
func readJetify(stream []byte) (sum tally, err error) {
	decoder := jetify.NewDecoder(bytes.NewReader(stream))
	var event jetify.Event
	for {
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return sum, nil
		} else if err != nil {
			return sum, err
		}
		sum.events++
		if raw, ok := event.Data.(jetify.Raw); ok {
			sum.data += len(raw)
		}
		sum.fields += len(event.Event) + len(event.ID)
	}
}

// measured is one contender's results.
type measured struct {
	contender
	sum         tally
	allocations uint64
	repeats     int
	seconds     []string
}

// prepare checks a contender, and finds out how many passes take long enough to be measured.
func prepare(one contender, stream []byte) (*measured, error) {
	if _, err := one.pass(stream); err != nil {
		return nil, fmt.Errorf("%s: %w", one.module, err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := cpuTime()
	sum, err := one.pass(stream)
	took := cpuTime() - start
	runtime.ReadMemStats(&after)
	return &measured{
		contender:   one,
		sum:         sum,
		allocations: after.Mallocs - before.Mallocs,
		repeats:     1 + int(10*time.Millisecond/max(took, time.Microsecond)),
	}, err
}

func (one *measured) round(stream []byte) {
	start := cpuTime()
	for range one.repeats {
		_, _ = one.pass(stream)
	}
	seconds := (cpuTime() - start).Seconds() / float64(one.repeats)
	one.seconds = append(one.seconds, strconv.FormatFloat(seconds, 'g', -1, 64))
}

// read measures all of them on the stream in a file, and prints a line for each: name, how, events, bytes
// of data, allocations of one pass, and the seconds of CPU that one pass took in each round, with tabs
// in between.
func read(arguments []string) error {
	if len(arguments) != 2 {
		return errUsage
	}
	rounds, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	stream, err := os.ReadFile(arguments[1])
	if err != nil {
		return err
	}
	var all []*measured
	for _, one := range contenders {
		prepared, err := prepare(one, stream)
		if err != nil {
			return err
		}
		all = append(all, prepared)
	}
	for round := range rounds {
		for turn := range all {
			all[(round+turn)%len(all)].round(stream)
		}
	}
	for _, one := range all {
		name := one.module + " " + version(one.module)
		fmt.Println(strings.Join(append([]string{
			name,
			one.how,
			strconv.Itoa(one.sum.events),
			strconv.Itoa(one.sum.data),
			strconv.FormatUint(one.allocations, 10),
		}, one.seconds...), "\t"))
	}
	return nil
}
