package main

import (
	"context"
	"fmt"
	"reflect"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	apps_deployment "k8s.io/kubernetes/pkg/registry/apps/deployment/storage"
	apps_replicaset "k8s.io/kubernetes/pkg/registry/apps/replicaset/storage"
	apps_statefulset "k8s.io/kubernetes/pkg/registry/apps/statefulset/storage"
	core_replicationcontroller "k8s.io/kubernetes/pkg/registry/core/replicationcontroller/storage"
)

// A shelf is a store of one object.
type shelf struct {
	storage.Interface
	object runtime.Object
}

func (s *shelf) GetRESTOptions(schema.GroupResource, runtime.Object) (generic.RESTOptions, error) {
	return generic.RESTOptions{
		StorageConfig:  &storagebackend.ConfigForResource{},
		ResourcePrefix: "shelf",
		Decorator: func(
			*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error), func() runtime.Object,
			func() runtime.Object, storage.AttrFunc, storage.IndexerFuncs, *cache.Indexers,
		) (storage.Interface, factory.DestroyFunc, error) {
			return s, func() {}, nil
		},
	}, nil
}

func (s *shelf) Versioner() storage.Versioner {
	return storage.APIObjectVersioner{}
}

func (s *shelf) Get(_ context.Context, _ string, _ storage.GetOptions, into runtime.Object) error {
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(s.object.DeepCopyObject()).Elem())
	return nil
}

func (s *shelf) GuaranteedUpdate(
	ctx context.Context, key string, into runtime.Object, _ bool, _ *storage.Preconditions, update storage.UpdateFunc,
	_ runtime.Object,
) error {
	updated, _, err := update(s.object.DeepCopyObject(), storage.ResponseMeta{ResourceVersion: 1})
	if err != nil {
		return err
	}
	s.object = updated
	return s.Get(ctx, key, storage.GetOptions{}, into)
}

// What reads and writes the scale of objects.
type scaler interface {
	rest.Getter
	rest.Updater
}

var scalers = map[schema.GroupKind]func(generic.RESTOptionsGetter) (scaler, error){
	{Group: "", Kind: "ReplicationController"}: func(shelf generic.RESTOptionsGetter) (scaler, error) {
		store, err := core_replicationcontroller.NewStorage(shelf)
		return store.Scale, err
	},
	{Group: "apps", Kind: "Deployment"}: func(shelf generic.RESTOptionsGetter) (scaler, error) {
		store, err := apps_deployment.NewStorage(shelf)
		return store.Scale, err
	},
	{Group: "apps", Kind: "ReplicaSet"}: func(shelf generic.RESTOptionsGetter) (scaler, error) {
		store, err := apps_replicaset.NewStorage(shelf)
		return store.Scale, err
	},
	{Group: "apps", Kind: "StatefulSet"}: func(shelf generic.RESTOptionsGetter) (scaler, error) {
		store, err := apps_statefulset.NewStorage(shelf)
		return store.Scale, err
	},
}

// rescaled is the scale of an object, or the object after its scale was written.
func rescaled(asked request) (answer, error) {
	object, kind, err := decoded(asked.Current)
	if err != nil {
		return answer{}, err
	}
	open, ok := scalers[kind.GroupKind()]
	if !ok {
		return answer{}, fmt.Errorf("no scale of %s", kind)
	}
	store := &shelf{object: object}
	scales, err := open(store)
	if err != nil {
		return answer{}, err
	}
	ctx, name := contextOf(object, kind, "scale"), object.(meta.Object).GetName()
	if len(asked.Modified) == 0 {
		scale, err := scales.Get(ctx, name, &meta.GetOptions{})
		if err != nil {
			return refused(err)
		}
		return shown(scale, schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"})
	}
	scale, _, err := decoded(asked.Modified)
	if err != nil {
		return answer{}, err
	}
	_, _, err = scales.Update(
		ctx, name, rest.DefaultUpdatedObjectInfo(scale), rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc,
		false, &meta.UpdateOptions{},
	)
	if err != nil {
		return refused(err)
	}
	return shown(store.object, kind)
}
