package main

import (
	"github.com/go-logr/logr"
	apiextensions_install "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensions_customresourcedefinition "k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
	apiregistration_install "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	apiregistration_apiservice "k8s.io/kube-aggregator/pkg/registry/apiservice"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"

	certificates_clustertrustbundle "k8s.io/kubernetes/pkg/registry/certificates/clustertrustbundle"
	certificates_podcertificaterequest "k8s.io/kubernetes/pkg/registry/certificates/podcertificaterequest"
	core_event "k8s.io/kubernetes/pkg/registry/core/event"
)

// Groups that other servers of Kubernetes bring, kinds that stand in two groups, and silence.
func init() {
	// What Kubernetes notes about random inputs is of no interest.
	klog.SetLogger(logr.Discard())
	apiextensions_install.Install(legacyscheme.Scheme)
	apiregistration_install.Install(legacyscheme.Scheme)
	for kind, found := range map[schema.GroupKind]strategy{
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: apiextensions_customresourcedefinition.NewStrategy(legacyscheme.Scheme),
		{Group: "apiregistration.k8s.io", Kind: "APIService"}:             apiregistration_apiservice.NewStrategy(legacyscheme.Scheme),
		{Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"}:        certificates_clustertrustbundle.Strategy,
		{Group: "certificates.k8s.io", Kind: "PodCertificateRequest"}:     certificates_podcertificaterequest.NewStrategy(),
		{Group: "events.k8s.io", Kind: "Event"}:                           core_event.Strategy,
	} {
		strategies[kind] = found
	}
}
