package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/utils/clock"

	apiextensions_customresourcedefinition "k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	apiregistration_apiservice "k8s.io/kube-aggregator/pkg/registry/apiservice"
	apps_daemonset "k8s.io/kubernetes/pkg/registry/apps/daemonset"
	apps_deployment "k8s.io/kubernetes/pkg/registry/apps/deployment"
	apps_replicaset "k8s.io/kubernetes/pkg/registry/apps/replicaset"
	apps_statefulset "k8s.io/kubernetes/pkg/registry/apps/statefulset"
	autoscaling_horizontalpodautoscaler "k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	batch_cronjob "k8s.io/kubernetes/pkg/registry/batch/cronjob"
	batch_job "k8s.io/kubernetes/pkg/registry/batch/job"
	certificates_certificates "k8s.io/kubernetes/pkg/registry/certificates/certificates"
	certificates_podcertificaterequest "k8s.io/kubernetes/pkg/registry/certificates/podcertificaterequest"
	core_namespace "k8s.io/kubernetes/pkg/registry/core/namespace"
	core_node "k8s.io/kubernetes/pkg/registry/core/node"
	core_persistentvolume "k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	core_persistentvolumeclaim "k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	core_pod "k8s.io/kubernetes/pkg/registry/core/pod"
	core_replicationcontroller "k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	core_resourcequota "k8s.io/kubernetes/pkg/registry/core/resourcequota"
	core_service "k8s.io/kubernetes/pkg/registry/core/service"
	flowcontrol_flowschema "k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	flowcontrol_prioritylevelconfiguration "k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	networking_ingress "k8s.io/kubernetes/pkg/registry/networking/ingress"
	networking_servicecidr "k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	policy_poddisruptionbudget "k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	resource_devicetaintrule "k8s.io/kubernetes/pkg/registry/resource/devicetaintrule"
	storage_csinode "k8s.io/kubernetes/pkg/registry/storage/csinode"
	storage_volumeattachment "k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	storagemigration_storagemigration "k8s.io/kubernetes/pkg/registry/storagemigration/storagemigration"
)

// Without what says whether a user may sign: only the fields that it puts back are asked for.
var podCertificateRequestStatus = certificates_podcertificaterequest.NewStatusStrategy(
	certificates_podcertificaterequest.NewStrategy(), nil, clock.RealClock{},
)

// What the registries do with parts of objects that are written under paths of their own.
var parts = map[string]map[schema.GroupKind]rest.RESTUpdateStrategy{
	"approval": {
		{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"}: certificates_certificates.ApprovalStrategy,
	},
	"ephemeralcontainers": {{Group: "", Kind: "Pod"}: core_pod.EphemeralContainersStrategy},
	"finalize":            {{Group: "", Kind: "Namespace"}: core_namespace.FinalizeStrategy},
	"resize":              {{Group: "", Kind: "Pod"}: core_pod.ResizeStrategy},
	"status": {
		{Group: "", Kind: "Namespace"}:                                              core_namespace.StatusStrategy,
		{Group: "", Kind: "Node"}:                                                   core_node.StatusStrategy,
		{Group: "", Kind: "PersistentVolume"}:                                       core_persistentvolume.StatusStrategy,
		{Group: "", Kind: "PersistentVolumeClaim"}:                                  core_persistentvolumeclaim.StatusStrategy,
		{Group: "", Kind: "Pod"}:                                                    core_pod.StatusStrategy,
		{Group: "", Kind: "ReplicationController"}:                                  core_replicationcontroller.StatusStrategy,
		{Group: "", Kind: "ResourceQuota"}:                                          core_resourcequota.StatusStrategy,
		{Group: "", Kind: "Service"}:                                                core_service.StatusStrategy,
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}:           apiextensions_customresourcedefinition.NewStatusStrategy(legacyscheme.Scheme),
		{Group: "apiregistration.k8s.io", Kind: "APIService"}:                       apiregistration_apiservice.NewStatusStrategy(legacyscheme.Scheme),
		{Group: "apps", Kind: "DaemonSet"}:                                          apps_daemonset.StatusStrategy,
		{Group: "apps", Kind: "Deployment"}:                                         apps_deployment.StatusStrategy,
		{Group: "apps", Kind: "ReplicaSet"}:                                         apps_replicaset.StatusStrategy,
		{Group: "apps", Kind: "StatefulSet"}:                                        apps_statefulset.StatusStrategy,
		{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:                     autoscaling_horizontalpodautoscaler.StatusStrategy,
		{Group: "batch", Kind: "CronJob"}:                                           batch_cronjob.StatusStrategy,
		{Group: "batch", Kind: "Job"}:                                               batch_job.StatusStrategy,
		{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"}:           certificates_certificates.StatusStrategy,
		{Group: "certificates.k8s.io", Kind: "PodCertificateRequest"}:               podCertificateRequestStatus,
		{Group: "flowcontrol.apiserver.k8s.io", Kind: "FlowSchema"}:                 flowcontrol_flowschema.StatusStrategy,
		{Group: "flowcontrol.apiserver.k8s.io", Kind: "PriorityLevelConfiguration"}: flowcontrol_prioritylevelconfiguration.StatusStrategy,
		{Group: "networking.k8s.io", Kind: "Ingress"}:                               networking_ingress.StatusStrategy,
		{Group: "networking.k8s.io", Kind: "ServiceCIDR"}:                           networking_servicecidr.StatusStrategy,
		{Group: "policy", Kind: "PodDisruptionBudget"}:                              policy_poddisruptionbudget.StatusStrategy,
		{Group: "resource.k8s.io", Kind: "DeviceTaintRule"}:                         resource_devicetaintrule.StatusStrategy,
		{Group: "storage.k8s.io", Kind: "CSINode"}:                                  storage_csinode.StatusStrategy,
		{Group: "storage.k8s.io", Kind: "VolumeAttachment"}:                         storage_volumeattachment.StatusStrategy,
		{Group: "storagemigration.k8s.io", Kind: "StorageVersionMigration"}:         storagemigration_storagemigration.StatusStrategy,
	},
}

// updated is what an update of an object, or of the part that the request's text names, makes of it; or the Status of
// its refusal.
func updated(asked request) (answer, error) {
	object, kind, err := decoded(asked.Modified)
	if err != nil {
		return answer{}, err
	}
	old, _, err := decoded(asked.Current)
	if err != nil {
		return answer{}, err
	}
	var found rest.RESTUpdateStrategy = strategies[kind.GroupKind()]
	if asked.Text != "" {
		found = parts[asked.Text][kind.GroupKind()]
	}
	if found == nil {
		return answer{}, fmt.Errorf("no strategy for %s %s", kind, asked.Text)
	}
	if err := rest.BeforeUpdate(found, contextOf(object, kind, asked.Text), object, old); err != nil {
		return refused(err)
	}
	return shown(object, kind)
}
