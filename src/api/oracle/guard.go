package main

import "fmt"

// guarded answers with an error where Kubernetes itself panics: the server recovers, and so do we.
func guarded(asked request) (told answer, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			told, err = answer{}, fmt.Errorf("panic: %v", reason)
		}
	}()
	return reply(asked)
}
