// SPDX-License-Identifier: MIT

// Go under the contract of contract.hpp (Debian: golang-go). `--threads N` is GOMAXPROCS.
// Left out: threads that are not Go's own cannot spawn or ask, and a goroutine that is locked to its thread stands for one in the round
// trips; unbounded channels; matmul and loops, which would show the compiler's code for the leaf.

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

var smoke = false

func scaled(full, inSmokeRun int) int {
	if smoke {
		return inSmokeRun
	}
	return full
}

type measured struct {
	nsPerItem float64
	items     int
}

func per(items int, took time.Duration) measured {
	return measured{float64(took.Nanoseconds()) / float64(items), items}
}

func timed(items int, body func()) measured {
	body()
	begin := time.Now()
	body()
	return per(items, time.Since(begin))
}

func expect(holds bool, what string) {
	if !holds {
		panic(what)
	}
}

// ---- hop, spawn, when_all

func hops(tasks int) measured {
	count := scaled(640000, 640)
	return timed(count, func() {
		var running sync.WaitGroup
		running.Add(tasks)
		for i := 0; i < tasks; i++ {
			go func() {
				for j := 0; j < count/tasks; j++ {
					runtime.Gosched()
				}
				running.Done()
			}()
		}
		running.Wait()
	})
}

func spawnInside() measured {
	count := scaled(1000000, 1000)
	return timed(count, func() {
		var running sync.WaitGroup
		running.Add(count)
		for i := 0; i < count; i++ {
			go running.Done()
		}
		running.Wait()
	})
}

func whenAll(children int) measured {
	count := scaled(1000000, 10000)
	values := make([]int, children)
	return timed(count, func() {
		sum := 0
		for done := 0; done < count; done += children {
			var running sync.WaitGroup
			running.Add(children)
			for i := range values {
				go func(value *int) {
					*value = 1
					running.Done()
				}(&values[i])
			}
			running.Wait()
			for _, each := range values {
				sum += each
			}
		}
		expect(sum == count, "when_all: wrong sum")
	})
}

// ---- computations

func fib(n int) int {
	if n < 2 {
		return n
	}
	a := 0
	var child sync.WaitGroup
	child.Add(1)
	go func() {
		a = fib(n - 1)
		child.Done()
	}()
	b := fib(n - 2)
	child.Wait()
	return a + b
}

func skynet(number, size int) int {
	if size == 1 {
		return number
	}
	part := size / 10
	var sums [10]int
	var children sync.WaitGroup
	children.Add(9)
	for i := 1; i < 10; i++ {
		go func(i int) {
			sums[i] = skynet(number+i*part, part)
			children.Done()
		}(i)
	}
	sums[0] = skynet(number, part)
	children.Wait()
	sum := 0
	for _, each := range sums {
		sum += each
	}
	return sum
}

type board [12]int8

func (taken *board) mayStand(row, column int) bool {
	for i := 0; i < row; i++ {
		apart := column - int(taken[i])
		if apart == 0 || apart == row-i || apart == i-row {
			return false
		}
	}
	return true
}

func queens(taken board, row, size, first int) int {
	if row == size {
		return 1
	}
	for first < size && !taken.mayStand(row, first) {
		first++
	}
	if first == size {
		return 0
	}
	next := taken
	next[row] = int8(first)
	with := 0
	var child sync.WaitGroup
	child.Add(1)
	go func() {
		with = queens(next, row+1, size, 0)
		child.Done()
	}()
	without := queens(taken, row, size, first+1)
	child.Wait()
	return with + without
}

func fibTask() measured {
	return timed(scaled(3524577, 88), func() { expect(fib(scaled(32, 10)) == scaled(2178309, 55), "fib: wrong result") })
}

func skynetTask() measured {
	size := scaled(1000000, 100)
	return timed(size, func() { expect(skynet(0, size) == size*(size-1)/2, "skynet: wrong result") })
}

func queensTask() measured {
	return timed(1, func() { expect(queens(board{}, 0, scaled(12, 6), 0) == scaled(14200, 4), "queens: wrong result") })
}

// ---- channels

func channel(eachSide, capacity int) measured {
	count := scaled(400000, 4000)
	return timed(count, func() {
		items := make(chan int64, capacity)
		counts := make([]int, eachSide)
		var senders, receivers sync.WaitGroup
		senders.Add(eachSide)
		receivers.Add(eachSide)
		for i := range counts {
			go func(count *int) {
				n := 0
				for range items {
					n++
				}
				*count = n
				receivers.Done()
			}(&counts[i])
			go func() {
				for j := 0; j < count/eachSide; j++ {
					items <- int64(j)
				}
				senders.Done()
			}()
		}
		senders.Wait()
		close(items)
		receivers.Wait()
		received := 0
		for _, each := range counts {
			received += each
		}
		expect(received == count, "channel: items were lost")
	})
}

// ---- round trip, herd

func ask() {
	answer := make(chan int, 1)
	go func() { answer <- 2 }()
	expect(<-answer == 2, "round_trip: wrong answer")
}

func roundTrip() measured {
	runtime.LockOSThread()
	count := scaled(20000, 100)
	return timed(count, func() {
		for i := 0; i < count; i++ {
			ask()
		}
	})
}

func roundTripCold() measured {
	runtime.LockOSThread()
	count := scaled(300, 5)
	ask()
	var sum time.Duration
	for i := 0; i < count; i++ {
		time.Sleep(time.Millisecond)
		begin := time.Now()
		ask()
		sum += time.Since(begin)
	}
	return per(count, sum)
}

func wakeHerd(sleepers int) time.Duration {
	start := make(chan struct{})
	var asleep, running sync.WaitGroup
	asleep.Add(sleepers)
	running.Add(sleepers)
	for i := 0; i < sleepers; i++ {
		go func() {
			asleep.Done()
			<-start
			running.Done()
		}()
	}
	asleep.Wait()
	woken := time.Now()
	close(start)
	running.Wait()
	return time.Since(woken)
}

func herd() measured {
	sleepers := scaled(10000, 100)
	herds := scaled(20, 2)
	wakeHerd(sleepers)
	var sum time.Duration
	for i := 0; i < herds; i++ {
		sum += wakeHerd(sleepers)
	}
	return per(sleepers*herds, sum)
}

type workload struct {
	name string
	run  func() measured
}

var workloads = []workload{
	{"hop_1", func() measured { return hops(1) }},
	{"hop_64", func() measured { return hops(64) }},
	{"spawn_inside", spawnInside},
	{"when_all_10", func() measured { return whenAll(10) }},
	{"when_all_1000", func() measured { return whenAll(1000) }},
	{"fib_task", fibTask},
	{"skynet_task", skynetTask},
	{"queens_task", queensTask},
	{"channel_1_1", func() measured { return channel(1, 1024) }},
	{"channel_4_4", func() measured { return channel(4, 1024) }},
	{"rendezvous_1_1", func() measured { return channel(1, 0) }},
	{"rendezvous_4_4", func() measured { return channel(4, 0) }},
	{"round_trip", roundTrip},
	{"round_trip_cold", roundTripCold},
	{"herd", herd},
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) == 1 && arguments[0] == "--list" {
		for _, each := range workloads {
			fmt.Println(each.name)
		}
		return
	}
	if len(arguments) == 1 && arguments[0] == "--version" {
		fmt.Println(runtime.Version())
		return
	}
	if len(arguments) >= 3 && arguments[1] == "--threads" {
		threads, err := strconv.Atoi(arguments[2])
		smoke = len(arguments) == 4 && arguments[3] == "--smoke"
		for _, each := range workloads {
			if err == nil && threads > 0 && each.name == arguments[0] {
				runtime.GOMAXPROCS(threads)
				result := each.run()
				fmt.Printf("%s %d %.3f %d\n", each.name, threads, result.nsPerItem, result.items)
				return
			}
		}
	}
	fmt.Fprintf(os.Stderr, "usage: %s --list, --version, or WORKLOAD --threads N [--smoke]\n", os.Args[0])
	os.Exit(2)
}
