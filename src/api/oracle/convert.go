package main

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// converted is the object in another version, which the request's text names: `autoscaling/v1`.
func converted(asked request) (answer, error) {
	object, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(asked.Object, nil, nil)
	if err != nil {
		return answer{}, err
	}
	target, err := schema.ParseGroupVersion(asked.Text)
	if err != nil {
		return answer{}, err
	}
	hub, err := legacyscheme.Scheme.ConvertToVersion(object, runtime.InternalGroupVersioner)
	if err != nil {
		return answer{}, err
	}
	shown, err := legacyscheme.Scheme.ConvertToVersion(hub, target)
	if err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(shown)
	return answer{Object: text}, err
}
