// A program of client-go, in the way that controllers are written: it writes objects, and holds what informers,
// a watch and a lease say against what it wrote. It prints "half" when half is written, so that whoever started it
// can kill a master, and exits with 0 when nothing was lost.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	namespace = "follow"
	// How long anything may take to be seen.
	patience = 60 * time.Second
)

func main() {
	log.SetFlags(log.Lmicroseconds)
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err)
	config.QPS, config.Burst = -1, 0
	typed := rest.CopyConfig(config)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf
	clients, err := kubernetes.NewForConfig(typed)
	must(err)
	untyped, err := dynamic.NewForConfig(config)
	must(err)

	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	w := writer{clients: clients}
	must(w.begin(ctx))
	followed := follow(ctx, clients, untyped)
	watched := watch(ctx, clients)
	led := elect(ctx, clients)
	must(w.write(ctx))
	must(followed.compare(ctx, w.maps, w.deployments))
	must(watched.compare(ctx, w.written))
	must(led.handOver(ctx))
	fmt.Println("nothing was lost")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Waits until check has nothing to say.
func eventually(ctx context.Context, check func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
