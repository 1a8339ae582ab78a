package main

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/authentication/install"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	_ "k8s.io/kubernetes/pkg/apis/storagemigration/install"

	admissionregistration_mutatingwebhookconfiguration "k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingwebhookconfiguration"
	admissionregistration_validatingwebhookconfiguration "k8s.io/kubernetes/pkg/registry/admissionregistration/validatingwebhookconfiguration"
	apps_controllerrevision "k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	apps_daemonset "k8s.io/kubernetes/pkg/registry/apps/daemonset"
	apps_deployment "k8s.io/kubernetes/pkg/registry/apps/deployment"
	apps_replicaset "k8s.io/kubernetes/pkg/registry/apps/replicaset"
	apps_statefulset "k8s.io/kubernetes/pkg/registry/apps/statefulset"
	autoscaling_horizontalpodautoscaler "k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	batch_cronjob "k8s.io/kubernetes/pkg/registry/batch/cronjob"
	batch_job "k8s.io/kubernetes/pkg/registry/batch/job"
	certificates_certificates "k8s.io/kubernetes/pkg/registry/certificates/certificates"
	coordination_lease "k8s.io/kubernetes/pkg/registry/coordination/lease"
	core_configmap "k8s.io/kubernetes/pkg/registry/core/configmap"
	core_endpoint "k8s.io/kubernetes/pkg/registry/core/endpoint"
	core_event "k8s.io/kubernetes/pkg/registry/core/event"
	core_limitrange "k8s.io/kubernetes/pkg/registry/core/limitrange"
	core_namespace "k8s.io/kubernetes/pkg/registry/core/namespace"
	core_node "k8s.io/kubernetes/pkg/registry/core/node"
	core_persistentvolume "k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	core_persistentvolumeclaim "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	core_pod "k8s.io/kubernetes/pkg/registry/core/pod"
	core_podtemplate "k8s.io/kubernetes/pkg/registry/core/podtemplate"
	core_replicationcontroller "k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	core_resourcequota "k8s.io/kubernetes/pkg/registry/core/resourcequota"
	core_secret "k8s.io/kubernetes/pkg/registry/core/secret"
	core_service "k8s.io/kubernetes/pkg/registry/core/service"
	core_serviceaccount "k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	discovery_endpointslice "k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	flowcontrol_flowschema "k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	flowcontrol_prioritylevelconfiguration "k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	networking_ingress "k8s.io/kubernetes/pkg/registry/networking/ingress"
	networking_ingressclass "k8s.io/kubernetes/pkg/registry/networking/ingressclass"
	networking_ipaddress "k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	networking_networkpolicy "k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	networking_servicecidr "k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	node_runtimeclass "k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	policy_poddisruptionbudget "k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	rbac_clusterrole "k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	rbac_clusterrolebinding "k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	rbac_role "k8s.io/kubernetes/pkg/registry/rbac/role"
	rbac_rolebinding "k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	resource_devicetaintrule "k8s.io/kubernetes/pkg/registry/resource/devicetaintrule"
	scheduling_priorityclass "k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	storage_csidriver "k8s.io/kubernetes/pkg/registry/storage/csidriver"
	storage_csinode "k8s.io/kubernetes/pkg/registry/storage/csinode"
	storage_csistoragecapacity "k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	storage_storageclass "k8s.io/kubernetes/pkg/registry/storage/storageclass"
	storage_volumeattachment "k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	storage_volumeattributesclass "k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
	storagemigration_storagemigration "k8s.io/kubernetes/pkg/registry/storagemigration/storagemigration"
)

// What the registry of a kind does with objects that are created or changed.
type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

var strategies = map[schema.GroupKind]strategy{
	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}:   admissionregistration_mutatingwebhookconfiguration.Strategy,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}: admissionregistration_validatingwebhookconfiguration.Strategy,
	{Group: "apps", Kind: "ControllerRevision"}:                                     apps_controllerrevision.Strategy,
	{Group: "apps", Kind: "DaemonSet"}:                                              apps_daemonset.Strategy,
	{Group: "apps", Kind: "Deployment"}:                                             apps_deployment.Strategy,
	{Group: "apps", Kind: "ReplicaSet"}:                                             apps_replicaset.Strategy,
	{Group: "apps", Kind: "StatefulSet"}:                                            apps_statefulset.Strategy,
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:                         autoscaling_horizontalpodautoscaler.Strategy,
	{Group: "batch", Kind: "CronJob"}:                                               batch_cronjob.Strategy,
	{Group: "batch", Kind: "Job"}:                                                   batch_job.Strategy,
	{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"}:               certificates_certificates.Strategy,
	{Group: "coordination.k8s.io", Kind: "Lease"}:                                   coordination_lease.Strategy,
	{Group: "", Kind: "ConfigMap"}:                                                  core_configmap.Strategy,
	{Group: "", Kind: "Endpoints"}:                                                  core_endpoint.Strategy,
	{Group: "", Kind: "Event"}:                                                      core_event.Strategy,
	{Group: "", Kind: "LimitRange"}:                                                 core_limitrange.Strategy,
	{Group: "", Kind: "Namespace"}:                                                  core_namespace.Strategy,
	{Group: "", Kind: "Node"}:                                                       core_node.Strategy,
	{Group: "", Kind: "PersistentVolume"}:                                           core_persistentvolume.Strategy,
	{Group: "", Kind: "PersistentVolumeClaim"}:                                      core_persistentvolumeclaim.Strategy,
	{Group: "", Kind: "Pod"}:                                                        core_pod.Strategy,
	{Group: "", Kind: "PodTemplate"}:                                                core_podtemplate.Strategy,
	{Group: "", Kind: "ReplicationController"}:                                      core_replicationcontroller.Strategy,
	{Group: "", Kind: "ResourceQuota"}:                                              core_resourcequota.Strategy,
	{Group: "", Kind: "Secret"}:                                                     core_secret.Strategy,
	{Group: "", Kind: "Service"}:                                                    core_service.Strategy,
	{Group: "", Kind: "ServiceAccount"}:                                             core_serviceaccount.Strategy,
	{Group: "discovery.k8s.io", Kind: "EndpointSlice"}:                              discovery_endpointslice.Strategy,
	{Group: "flowcontrol.apiserver.k8s.io", Kind: "FlowSchema"}:                     flowcontrol_flowschema.Strategy,
	{Group: "flowcontrol.apiserver.k8s.io", Kind: "PriorityLevelConfiguration"}:     flowcontrol_prioritylevelconfiguration.Strategy,
	{Group: "networking.k8s.io", Kind: "Ingress"}:                                   networking_ingress.Strategy,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:                              networking_ingressclass.Strategy,
	{Group: "networking.k8s.io", Kind: "IPAddress"}:                                 networking_ipaddress.Strategy,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:                             networking_networkpolicy.Strategy,
	{Group: "networking.k8s.io", Kind: "ServiceCIDR"}:                               networking_servicecidr.Strategy,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:                                    node_runtimeclass.Strategy,
	{Group: "policy", Kind: "PodDisruptionBudget"}:                                  policy_poddisruptionbudget.Strategy,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:                       rbac_clusterrole.Strategy,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}:                rbac_clusterrolebinding.Strategy,
	{Group: "rbac.authorization.k8s.io", Kind: "Role"}:                              rbac_role.Strategy,
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:                       rbac_rolebinding.Strategy,
	{Group: "resource.k8s.io", Kind: "DeviceTaintRule"}:                             resource_devicetaintrule.Strategy,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:                             scheduling_priorityclass.Strategy,
	{Group: "storage.k8s.io", Kind: "CSIDriver"}:                                    storage_csidriver.Strategy,
	{Group: "storage.k8s.io", Kind: "CSINode"}:                                      storage_csinode.Strategy,
	{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}:                           storage_csistoragecapacity.Strategy,
	{Group: "storage.k8s.io", Kind: "StorageClass"}:                                 storage_storageclass.Strategy,
	{Group: "storage.k8s.io", Kind: "VolumeAttachment"}:                             storage_volumeattachment.Strategy,
	{Group: "storage.k8s.io", Kind: "VolumeAttributesClass"}:                        storage_volumeattributesclass.Strategy,
	{Group: "storagemigration.k8s.io", Kind: "StorageVersionMigration"}:             storagemigration_storagemigration.Strategy,
}

// decoded is an object with its defaults, in the version that Kubernetes works with.
func decoded(text json.RawMessage) (internal runtime.Object, version schema.GroupVersionKind, err error) {
	versioned, kind, err := legacyscheme.Codecs.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return nil, schema.GroupVersionKind{}, err
	}
	legacyscheme.Scheme.Default(versioned)
	internal, err = legacyscheme.Scheme.ConvertToVersion(versioned, schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal})
	return internal, *kind, err
}

func shown(object runtime.Object, kind schema.GroupVersionKind) (answer, error) {
	versioned, err := legacyscheme.Scheme.ConvertToVersion(object, kind.GroupVersion())
	if err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(versioned)
	return answer{Object: text}, err
}

// defaulted fills in what was left out.
func defaulted(asked request) (answer, error) {
	object, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(asked.Object, nil, nil)
	if err != nil {
		return answer{}, err
	}
	legacyscheme.Scheme.Default(object)
	text, err := json.Marshal(object)
	return answer{Object: text}, err
}

// created is what a create makes of the object, or the Status of its refusal.
func created(asked request) (answer, error) {
	object, kind, err := decoded(asked.Object)
	if err != nil {
		return answer{}, err
	}
	found, ok := strategies[kind.GroupKind()]
	if !ok {
		return answer{}, fmt.Errorf("no strategy for %s", kind)
	}
	accessor := object.(meta.Object)
	rest.FillObjectMetaSystemFields(accessor)
	accessor.SetUID("00000000-0000-4000-8000-000000000000")
	if err := rest.BeforeCreate(found, contextOf(object, kind, ""), object); err != nil {
		return refused(err)
	}
	return shown(object, kind)
}

// contextOf is what a strategy may know about the request.
func contextOf(object runtime.Object, kind schema.GroupVersionKind, subresource string) context.Context {
	namespace := object.(meta.Object).GetNamespace()
	ctx := genericrequest.WithNamespace(context.Background(), namespace)
	return genericrequest.WithRequestInfo(ctx, &genericrequest.RequestInfo{
		APIGroup: kind.Group, APIVersion: kind.Version, Namespace: namespace, Subresource: subresource,
	})
}

func refused(err error) (answer, error) {
	status, ok := err.(errors.APIStatus)
	if !ok {
		return answer{}, err
	}
	text, err := json.Marshal(status.Status())
	return answer{Status: text}, err
}
