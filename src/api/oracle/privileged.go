package main

import "k8s.io/kubernetes/pkg/capabilities"

// Containers may be privileged: every cluster that runs a network plugin allows it.
func init() {
	capabilities.Setup(true, 0)
}
