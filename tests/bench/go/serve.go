package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	tmaxmax "github.com/tmaxmax/go-sse"
)

const (
	// capacity is how many events may wait for one connection.
	capacity = 1024
	// joined is from how many bytes on no more frames go into one write.
	joined  = 16 << 10
	comment = ":\n\n"
	beat    = 15 * time.Second
)

// server is something to connect to, and to publish to.
type server interface {
	http.Handler
	publish(number int, data string) error
}

var servers = map[string]func() server{
	"go-channels":      func() server { return &channels{clients: map[chan []byte]bool{}} },
	"go-joe":           func() server { return newJoe() },
	"go-one-goroutine": func() server { return newOneGoroutine() },
}

// encode is what an event has to be, once for all connections.
func encode(number int, data string) []byte {
	return fmt.Appendf(nil, "id: %d\ndata: %s\n\n", number, data)
}

// channels is what is written by hand on net/http: each connection has a goroutine, which waits on a
// channel of its own.
type channels struct {
	mutex   sync.Mutex
	clients map[chan []byte]bool
}

func (all *channels) publish(number int, data string) error {
	frame := encode(number, data)
	all.mutex.Lock()
	defer all.mutex.Unlock()
	for frames := range all.clients {
		select {
		case frames <- frame:
		default: // It is so slow that it misses this one.
		}
	}
	return nil
}

func (all *channels) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	frames := make(chan []byte, capacity)
	all.mutex.Lock()
	all.clients[frames] = true
	all.mutex.Unlock()
	defer func() {
		all.mutex.Lock()
		delete(all.clients, frames)
		all.mutex.Unlock()
	}()
	writer.Header().Set("Content-Type", "text/event-stream")
	writer.Header().Set("Cache-Control", "no-store")
	response := http.NewResponseController(writer)
	heartbeats := time.NewTicker(beat)
	defer heartbeats.Stop()
	for response.Flush() == nil {
		select {
		case frame := <-frames:
			length, _ := writer.Write(frame)
			for len(frames) > 0 && length < joined {
				more, _ := writer.Write(<-frames)
				length += more
			}
		case <-heartbeats.C:
			_, _ = writer.Write([]byte(comment))
		case <-request.Context().Done():
			return
		}
	}
}

// joe is the broker of go-sse.
type joe struct{ tmaxmax.Server }

func newJoe() *joe {
	return &joe{tmaxmax.Server{Provider: &tmaxmax.Joe{Replayer: heads{}}}}
}

// heads keeps no event for those that come back. It sends the head of the response as soon as a client
// is subscribed, which would come with the first event otherwise.
type heads struct{}

func (heads) Put(message *tmaxmax.Message, _ []string) (*tmaxmax.Message, error) {
	return message, nil
}

func (heads) Replay(subscription tmaxmax.Subscription) error {
	return subscription.Client.Flush()
}

func (server *joe) publish(number int, data string) error {
	message := &tmaxmax.Message{ID: tmaxmax.ID(strconv.Itoa(number))}
	message.AppendData(data)
	return server.Publish(message)
}

// oneGoroutine is the least that there is to do: the connections are taken from net/http, and one
// goroutine writes to all of them in turn.
type oneGoroutine struct {
	frames      chan []byte
	mutex       sync.Mutex
	connections []net.Conn
}

func newOneGoroutine() *oneGoroutine {
	all := &oneGoroutine{frames: make(chan []byte, capacity)}
	go all.write()
	return all
}

func (all *oneGoroutine) publish(number int, data string) error {
	all.frames <- encode(number, data)
	return nil
}

func (all *oneGoroutine) ServeHTTP(writer http.ResponseWriter, _ *http.Request) {
	connection, _, err := http.NewResponseController(writer).Hijack()
	if err != nil {
		return
	}
	all.mutex.Lock()
	defer all.mutex.Unlock()
	_, err = connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
		"Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"))
	if err != nil {
		connection.Close()
		return
	}
	all.connections = append(all.connections, connection)
}

func (all *oneGoroutine) write() {
	var body, chunk bytes.Buffer
	heartbeats := time.NewTicker(beat)
	for {
		body.Reset()
		select {
		case frame := <-all.frames:
			body.Write(frame)
			for len(all.frames) > 0 && body.Len() < joined {
				body.Write(<-all.frames)
			}
		case <-heartbeats.C:
			body.WriteString(comment)
		}
		chunk.Reset()
		fmt.Fprintf(&chunk, "%x\r\n%s\r\n", body.Len(), body.Bytes())
		all.mutex.Lock()
		all.connections = slices.DeleteFunc(all.connections, func(connection net.Conn) bool {
			_, err := connection.Write(chunk.Bytes())
			if err != nil {
				connection.Close()
			}
			return err != nil
		})
		all.mutex.Unlock()
	}
}

// serve does what it is told on the standard input, until that ends: as the servers of the bench in Rust
// do.
func serve(arguments []string) error {
	if len(arguments) == 0 || servers[arguments[0]] == nil {
		return errUsage
	}
	server := servers[arguments[0]]()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		panic(http.Serve(listener, server))
	}()
	fmt.Println(listener.Addr())
	var calls []time.Duration
	number := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "cost" {
			fmt.Println(cpuTime().Nanoseconds(), median(calls))
			calls = calls[:0]
			continue
		}
		events, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		for range events {
			number++
			data := data()
			before := time.Now()
			if err := server.publish(number, data); err != nil {
				return err
			}
			calls = append(calls, time.Since(before))
		}
	}
	return nil
}

// data is that of an event, with the time at its end.
func data() string {
	return fmt.Sprintf(`{"id":"chatcmpl-BvT5nQx0aZ3kLw8RyUe2PdMf","object":"chat.completion.chunk",`+
		`"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":" the"},`+
		`"finish_reason":null}],"t":%019d}`, time.Now().UnixNano())
}

// median is in nanoseconds.
func median(times []time.Duration) float64 {
	if len(times) == 0 {
		return math.NaN()
	}
	slices.Sort(times)
	return float64(times[len(times)/2].Nanoseconds())
}
