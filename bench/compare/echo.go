// SPDX-License-Identifier: MIT

// Echo server on Go's net package under the command line of server_options.hpp: one goroutine per connection, with its own buffer.
// Connections have TCP_NODELAY by default.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
)

func session(peer net.Conn, bufferBytes int) {
	defer peer.Close()
	buffer := make([]byte, bufferBytes)
	for {
		received, err := peer.Read(buffer)
		if err != nil {
			return
		}
		if _, err := peer.Write(buffer[:received]); err != nil {
			return
		}
	}
}

func main() {
	host := flag.String("host", "127.0.0.1", "numeric address")
	port := flag.Int("port", 0, "0: the kernel chooses")
	workers := flag.Int("workers", 1, "threads that run goroutines")
	bufferBytes := flag.Int("buffer", 4096, "bytes of a connection's buffer")
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	listener, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_echo:", err)
		os.Exit(1)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		peer, err := listener.Accept()
		if err != nil { // out of descriptors, most likely: the comparison is void
			fmt.Fprintln(os.Stderr, "go_echo:", err)
			os.Exit(1)
		}
		go session(peer, *bufferBytes)
	}
}
