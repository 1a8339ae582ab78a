package main

import (
	"context"
	"fmt"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	apps_daemonset "k8s.io/kubernetes/pkg/registry/apps/daemonset"
	apps_deployment "k8s.io/kubernetes/pkg/registry/apps/deployment"
	apps_replicaset "k8s.io/kubernetes/pkg/registry/apps/replicaset"
	apps_statefulset "k8s.io/kubernetes/pkg/registry/apps/statefulset"
	autoscaling_horizontalpodautoscaler "k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	batch_cronjob "k8s.io/kubernetes/pkg/registry/batch/cronjob"
	batch_job "k8s.io/kubernetes/pkg/registry/batch/job"
	core_pod "k8s.io/kubernetes/pkg/registry/core/pod"
	core_replicationcontroller "k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	policy_poddisruptionbudget "k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
)

// What the registries do with parts of objects that are written under paths of their own.
var parts = map[string]map[schema.GroupKind]rest.RESTUpdateStrategy{
	"ephemeralcontainers": {{Group: "", Kind: "Pod"}: core_pod.EphemeralContainersStrategy},
	"resize":              {{Group: "", Kind: "Pod"}: core_pod.ResizeStrategy},
	"status": {
		{Group: "", Kind: "Pod"}:                                core_pod.StatusStrategy,
		{Group: "", Kind: "ReplicationController"}:              core_replicationcontroller.StatusStrategy,
		{Group: "apps", Kind: "DaemonSet"}:                      apps_daemonset.StatusStrategy,
		{Group: "apps", Kind: "Deployment"}:                     apps_deployment.StatusStrategy,
		{Group: "apps", Kind: "ReplicaSet"}:                     apps_replicaset.StatusStrategy,
		{Group: "apps", Kind: "StatefulSet"}:                    apps_statefulset.StatusStrategy,
		{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: autoscaling_horizontalpodautoscaler.StatusStrategy,
		{Group: "batch", Kind: "CronJob"}:                       batch_cronjob.StatusStrategy,
		{Group: "batch", Kind: "Job"}:                           batch_job.StatusStrategy,
		{Group: "policy", Kind: "PodDisruptionBudget"}:          policy_poddisruptionbudget.StatusStrategy,
	},
}

// updatedPart is what an update of a part makes of the object, or the Status of its refusal.
func updatedPart(asked request) (answer, error) {
	object, kind, err := decoded(asked.Modified)
	if err != nil {
		return answer{}, err
	}
	old, _, err := decoded(asked.Current)
	if err != nil {
		return answer{}, err
	}
	found, ok := parts[asked.Text][kind.GroupKind()]
	if !ok {
		return answer{}, fmt.Errorf("no %s of %s", asked.Text, kind)
	}
	namespace := object.(meta.Object).GetNamespace()
	ctx := genericrequest.WithNamespace(context.Background(), namespace)
	ctx = genericrequest.WithRequestInfo(ctx, &genericrequest.RequestInfo{
		APIGroup: kind.Group, APIVersion: kind.Version, Namespace: namespace, Subresource: asked.Text,
	})
	if err := rest.BeforeUpdate(found, ctx, object, old); err != nil {
		return refused(err)
	}
	return shown(object, kind)
}
