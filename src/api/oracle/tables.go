package main

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crdv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/tableconvertor"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	"k8s.io/kubernetes/pkg/printers"
	columns "k8s.io/kubernetes/pkg/printers/internalversion"
)

var tables = printers.NewTableGenerator().With(columns.AddHandlers)

// tabled is the object's row, with its columns. A printer that breaks on what no server would have stored is an error.
func tabled(asked request) (told answer, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the printer broke: %v", cause)
		}
	}()
	table, err := table(asked)
	if err != nil {
		return answer{}, err
	}
	for at := range table.Rows {
		table.Rows[at].Object = runtime.RawExtension{}
	}
	text, err := json.Marshal(table)
	return answer{Object: text}, err
}

func table(asked request) (*meta.Table, error) {
	var kind runtime.TypeMeta
	if err := json.Unmarshal(asked.Object, &kind); err != nil {
		return nil, err
	}
	plain := rest.NewDefaultTableConvertor(schema.GroupResource{})
	switch kind.Kind {
	case "APIService":
		return service(asked)
	case "CustomResourceDefinition":
		return definition(asked)
	case "ClusterRole", "LimitRange", "Role":
		object := &meta.PartialObjectMetadata{}
		if err := json.Unmarshal(asked.Object, object); err != nil {
			return nil, err
		}
		return plain.ConvertToTable(context.Background(), object, nil)
	}
	object, _, err := decoded(asked.Object)
	if err != nil {
		return nil, err
	}
	return tables.GenerateTable(object, printers.GenerateOptions{Wide: true})
}

// definition is printed by the server of definitions.
func definition(asked request) (*meta.Table, error) {
	object := &crdv1.CustomResourceDefinition{}
	if err := json.Unmarshal(asked.Object, object); err != nil {
		return nil, err
	}
	internal := &apiextensions.CustomResourceDefinition{}
	if err := crdv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(object, internal, nil); err != nil {
		return nil, err
	}
	return definitions.New().ConvertToTable(context.Background(), internal, nil)
}

// service is printed by the aggregator, which has types of its own.
func service(asked request) (*meta.Table, error) {
	object := &aggregator.APIService{}
	if err := json.Unmarshal(asked.Object, object); err != nil {
		return nil, err
	}
	internal := &apiregistration.APIService{}
	if err := aggregator.Convert_v1_APIService_To_apiregistration_APIService(object, internal, nil); err != nil {
		return nil, err
	}
	return (&etcd.REST{}).ConvertToTable(context.Background(), internal, nil)
}
