package main

import (
	"context"
	"fmt"
	"log"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// How many ConfigMaps are written; of every tenth number a Deployment as well.
const count = 300

// A write of a ConfigMap as a watch shows it; a deletion's revision is not told.
type written struct{ kind, name, revision string }

// Writes objects, and remembers what must be there in the end.
type writer struct {
	clients     kubernetes.Interface
	maps        map[string]*core.ConfigMap
	deployments map[string]*apps.Deployment
	written     []written
}

func (w *writer) begin(ctx context.Context) error {
	w.maps, w.deployments = map[string]*core.ConfigMap{}, map[string]*apps.Deployment{}
	space := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}
	_, err := w.clients.CoreV1().Namespaces().Create(ctx, space, meta.CreateOptions{})
	return err
}

func (w *writer) write(ctx context.Context) error {
	for number := range count {
		if number == count/2 {
			fmt.Println("half")
		}
		if err := w.writeMap(ctx, number); err != nil {
			return err
		}
		if number%10 == 0 {
			if err := w.writeDeployment(ctx, number); err != nil {
				return err
			}
		}
	}
	return nil
}

// Creates a ConfigMap, changes every third, and deletes every fifth.
func (w *writer) writeMap(ctx context.Context, number int) error {
	maps := w.clients.CoreV1().ConfigMaps(namespace)
	name := fmt.Sprintf("map-%d", number)
	given := &core.ConfigMap{
		ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"number": fmt.Sprint(number % 7)}},
		Data:       map[string]string{"number": fmt.Sprint(number)},
		BinaryData: map[string][]byte{"bytes": {0, byte(number), 255}},
	}
	held, err := w.surely(ctx, name, func() (*core.ConfigMap, error) {
		return maps.Create(ctx, given, meta.CreateOptions{})
	}, func(known *core.ConfigMap) bool { return known != nil })
	if err != nil {
		return err
	}
	w.see("ADDED", held)
	if number%3 == 0 {
		changed := held.DeepCopy()
		changed.Data["changed"] = "yes"
		held, err = w.surely(ctx, name, func() (*core.ConfigMap, error) {
			return maps.Update(ctx, changed, meta.UpdateOptions{})
		}, func(known *core.ConfigMap) bool { return known != nil && known.Data["changed"] == "yes" })
		if err != nil {
			return err
		}
		w.see("MODIFIED", held)
	}
	if number%5 == 0 {
		_, err = w.surely(ctx, name, func() (*core.ConfigMap, error) {
			return nil, maps.Delete(ctx, name, meta.DeleteOptions{})
		}, func(known *core.ConfigMap) bool { return known == nil })
		delete(w.maps, name)
		w.written = append(w.written, written{"DELETED", name, ""})
	}
	return err
}

func (w *writer) see(kind string, held *core.ConfigMap) {
	w.maps[held.Name] = held
	w.written = append(w.written, written{kind, held.Name, held.ResourceVersion})
}

// Does a write until it certainly happened, once: an answer that is lost with a master says nothing.
func (w *writer) surely(ctx context.Context, name string, write func() (*core.ConfigMap, error), isDone func(*core.ConfigMap) bool) (*core.ConfigMap, error) {
	var result *core.ConfigMap
	err := eventually(ctx, func() (err error) {
		if result, err = write(); err == nil {
			return nil
		}
		log.Printf("%s: %v", name, err)
		known, read := w.clients.CoreV1().ConfigMaps(namespace).Get(ctx, name, meta.GetOptions{})
		if errors.IsNotFound(read) {
			known, read = nil, nil
		}
		if read == nil && isDone(known) {
			result = known
			return nil
		}
		time.Sleep(50 * time.Millisecond)
		return err
	})
	return result, err
}

func (w *writer) writeDeployment(ctx context.Context, number int) error {
	labels := map[string]string{"app": fmt.Sprint(number)}
	replicas := int32(number)
	given := &apps.Deployment{ObjectMeta: meta.ObjectMeta{Name: fmt.Sprintf("deployment-%d", number)}}
	given.Spec.Replicas = &replicas
	given.Spec.Selector = &meta.LabelSelector{MatchLabels: labels}
	given.Spec.Template.Labels = labels
	given.Spec.Template.Spec.Containers = []core.Container{{
		Name: "main", Image: "nginx",
		Resources: core.ResourceRequirements{Requests: core.ResourceList{"cpu": resource.MustParse("100m")}},
	}}
	deployments := w.clients.AppsV1().Deployments(namespace)
	return eventually(ctx, func() error {
		made, err := deployments.Create(ctx, given, meta.CreateOptions{})
		if errors.IsAlreadyExists(err) {
			made, err = deployments.Get(ctx, given.Name, meta.GetOptions{})
		}
		if err == nil {
			w.deployments[given.Name] = made
		}
		return err
	})
}
