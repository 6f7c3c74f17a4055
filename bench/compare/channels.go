// SPDX-License-Identifier: MIT

// The same as bench/sync/channel_bench.cpp with Go's channels: nanoseconds per item, GOMAXPROCS 2.
// Run: GOMAXPROCS=2 go run bench/compare/channels.go

package main

import (
	"fmt"
	"sync"
	"time"
)

const count = 400000

func passAll(eachSide, capacity int) time.Duration {
	items := make(chan int64, capacity)
	var senders, receivers sync.WaitGroup
	sums := make([]int64, eachSide)
	begin := time.Now()
	for i := range sums {
		receivers.Add(1)
		go func(sum *int64) {
			defer receivers.Done()
			for item := range items {
				*sum += item
			}
		}(&sums[i])
		senders.Add(1)
		go func() {
			defer senders.Done()
			for j := int64(0); j < int64(count/eachSide); j++ {
				items <- j
			}
		}()
	}
	senders.Wait()
	close(items)
	receivers.Wait()
	return time.Since(begin)
}

func main() {
	for _, eachSide := range []int{1, 4} {
		for _, capacity := range []int{0, 1024} {
			var best time.Duration
			for round := 0; round < 7; round++ {
				took := passAll(eachSide, capacity)
				if round == 0 || took < best {
					best = took
				}
			}
			fmt.Printf("go/channel/each_side:%d/capacity:%d %.1f ns per item (best of 7)\n", eachSide, capacity,
				float64(best.Nanoseconds())/count)
		}
	}
}
