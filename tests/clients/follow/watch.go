package main

import (
	"context"
	"fmt"
	"sync"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	events "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	tools "k8s.io/client-go/tools/watch"
)

// A watch that goes on where it was, whatever breaks.
type watched struct {
	lock sync.Mutex
	seen []written
}

func watch(ctx context.Context, clients kubernetes.Interface) *watched {
	maps := clients.CoreV1().ConfigMaps(namespace)
	list, err := maps.List(ctx, meta.ListOptions{})
	must(err)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
			return maps.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options meta.ListOptions) (events.Interface, error) {
			return maps.Watch(ctx, options)
		},
	}
	watcher, err := tools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, source)
	must(err)
	w := &watched{}
	go func() {
		for event := range watcher.ResultChan() {
			w.see(event)
		}
	}()
	return w
}

func (w *watched) see(event events.Event) {
	held, isMap := event.Object.(*core.ConfigMap)
	if !isMap {
		must(fmt.Errorf("the watch shows %v", event))
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	revision := held.ResourceVersion
	if event.Type == events.Deleted {
		revision = ""
	}
	w.seen = append(w.seen, written{string(event.Type), held.Name, revision})
}

// Whether each write was seen, once, in order, and nothing else.
func (w *watched) compare(ctx context.Context, expected []written) error {
	return eventually(ctx, func() error {
		w.lock.Lock()
		defer w.lock.Unlock()
		for at, write := range expected {
			if at >= len(w.seen) || w.seen[at] != write {
				return fmt.Errorf("event %d of %d is not %v: %v", at, len(w.seen), write, w.seen[min(at, len(w.seen)):])
			}
		}
		if len(w.seen) != len(expected) {
			return fmt.Errorf("%d events instead of %d", len(w.seen), len(expected))
		}
		return nil
	})
}
