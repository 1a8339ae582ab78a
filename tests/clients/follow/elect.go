package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Two candidates for one lease: the first holds it until it is asked to go.
type elected struct {
	leaders  atomic.Int32
	began    [2]atomic.Int32
	both     atomic.Bool
	stop     [2]context.CancelFunc
	finished [2]chan struct{}
}

func elect(ctx context.Context, clients kubernetes.Interface) *elected {
	e := &elected{}
	for number := range e.stop {
		e.candidate(ctx, clients, number)
		if number == 0 {
			must(eventually(ctx, func() error { return e.leads(0) }))
		}
	}
	return e
}

func (e *elected) candidate(ctx context.Context, clients kubernetes.Interface, number int) {
	var own context.Context
	own, e.stop[number] = context.WithCancel(ctx)
	e.finished[number] = make(chan struct{})
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  meta.ObjectMeta{Name: "leader", Namespace: namespace},
		Client:     clients.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("candidate-%d", number)},
	}
	go func() {
		defer close(e.finished[number])
		leaderelection.RunOrDie(own, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, Name: "follow",
			// Longer than a cluster takes to find a new leader.
			LeaseDuration: 30 * time.Second, RenewDeadline: 20 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) {
					e.began[number].Add(1)
					if e.leaders.Add(1) > 1 {
						e.both.Store(true)
					}
				},
				OnStoppedLeading: func() { e.leaders.Store(0) },
			},
		})
	}()
}

func (e *elected) leads(number int) error {
	if e.began[number].Load() == 1 && !e.both.Load() {
		return nil
	}
	return fmt.Errorf("candidate %d does not lead alone", number)
}

// Whether the first led all the time, and the second takes over when it goes.
func (e *elected) handOver(ctx context.Context) error {
	select {
	case <-e.finished[0]:
		return fmt.Errorf("the first candidate lost the lease")
	default:
	}
	if err := e.leads(0); err != nil || e.began[1].Load() != 0 {
		return fmt.Errorf("the second candidate took over too early: %v", err)
	}
	e.stop[0]()
	<-e.finished[0]
	err := eventually(ctx, func() error { return e.leads(1) })
	e.stop[1]()
	<-e.finished[1]
	return err
}
