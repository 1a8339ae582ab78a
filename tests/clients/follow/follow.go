package main

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Shared informers: of types in protobuf, and of trees in JSON.
type followed struct{ maps, deployments, mapTrees, deploymentTrees cache.Store }

func follow(ctx context.Context, clients kubernetes.Interface, untyped dynamic.Interface) followed {
	typed := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace(namespace))
	trees := dynamicinformer.NewFilteredDynamicSharedInformerFactory(untyped, 0, namespace, nil)
	of := followed{
		maps:            typed.Core().V1().ConfigMaps().Informer().GetStore(),
		deployments:     typed.Apps().V1().Deployments().Informer().GetStore(),
		mapTrees:        trees.ForResource(core.SchemeGroupVersion.WithResource("configmaps")).Informer().GetStore(),
		deploymentTrees: trees.ForResource(apps.SchemeGroupVersion.WithResource("deployments")).Informer().GetStore(),
	}
	typed.Start(ctx.Done())
	trees.Start(ctx.Done())
	typed.WaitForCacheSync(ctx.Done())
	trees.WaitForCacheSync(ctx.Done())
	return of
}

// Whether the informers hold exactly what was written.
func (f followed) compare(ctx context.Context, maps map[string]*core.ConfigMap, deployments map[string]*apps.Deployment) error {
	for _, check := range []func() error{
		func() error { return same(f.maps, maps) },
		func() error { return same(f.deployments, deployments) },
		func() error { return sameTrees(f.mapTrees, maps, core.SchemeGroupVersion.String(), "ConfigMap") },
		func() error { return sameTrees(f.deploymentTrees, deployments, apps.SchemeGroupVersion.String(), "Deployment") },
	} {
		if err := eventually(ctx, check); err != nil {
			return err
		}
	}
	return nil
}

func same[T any](held cache.Store, expected map[string]*T) error {
	if len(held.ListKeys()) != len(expected) {
		return fmt.Errorf("%d objects instead of %d", len(held.ListKeys()), len(expected))
	}
	for name, object := range expected {
		found, _, _ := held.GetByKey(namespace + "/" + name)
		if !equality.Semantic.DeepEqual(found, object) {
			return fmt.Errorf("%s is %+v, not %+v", name, found, object)
		}
	}
	return nil
}

func sameTrees[T any](held cache.Store, expected map[string]*T, version, kind string) error {
	if len(held.ListKeys()) != len(expected) {
		return fmt.Errorf("%d trees instead of %d", len(held.ListKeys()), len(expected))
	}
	for name, object := range expected {
		found, _, _ := held.GetByKey(namespace + "/" + name)
		tree, isTree := found.(*unstructured.Unstructured)
		if !isTree || tree.GetAPIVersion() != version || tree.GetKind() != kind {
			return fmt.Errorf("%s is %v", name, found)
		}
		typed := new(T)
		bare := tree.DeepCopy().Object
		// What a typed client of protobuf is not told.
		delete(bare, "apiVersion")
		delete(bare, "kind")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(bare, typed); err != nil {
			return err
		}
		if !equality.Semantic.DeepEqual(typed, object) {
			return fmt.Errorf("the tree of %s is %+v, not %+v", name, typed, object)
		}
	}
	return nil
}
