module sse-io-bench

go 1.24.0

require (
	github.com/tmaxmax/go-sse v0.11.0
	go.jetify.com/sse v0.1.0
)
