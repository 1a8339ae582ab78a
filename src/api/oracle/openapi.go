package main

import (
	openapi "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	models "k8s.io/kube-openapi/pkg/util/proto"
	"sigs.k8s.io/yaml"
)

// document is what a client reads in the protobuf form of an OpenAPI document: the same as JSON.
func document(asked request) (answer, error) {
	read := &openapi.Document{}
	if err := proto.Unmarshal(asked.Bytes, read); err != nil {
		return answer{}, err
	}
	if _, err := models.NewOpenAPIData(read); err != nil {
		return answer{}, err
	}
	text, err := read.YAMLValue("")
	if err != nil {
		return answer{}, err
	}
	told, err := yaml.YAMLToJSON(text)
	return answer{Object: told}, err
}
