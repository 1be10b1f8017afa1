package integration

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// slow is a time limit on this machine: RT_SLOW says how many times slower than an ordinary one it is (an emulated
// guest: 25). Limits that prove that something did not hang go through it; what a test measures does not.
func slow(limit time.Duration) time.Duration {
	text := os.Getenv("RT_SLOW")
	if text == "" {
		return limit
	}
	factor, err := strconv.Atoi(text)
	if err != nil || factor < 1 {
		panic(fmt.Sprintf("RT_SLOW=%q: not a whole number from 1", text))
	}
	return limit * time.Duration(factor)
}
