package main

import (
	"encoding/json"
	"strings"

	crdv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// A definition with one version, and what the extension server makes of its schema.
type customKind struct {
	text       string
	kind       schema.GroupVersionKind
	hasStatus  bool
	structural *structuralschema.Structural
	converter  managedfields.TypeConverter
}

// The one that was asked for last: many writes in a row are of the same.
var lastKind *customKind

func customKindOf(text json.RawMessage) (*customKind, error) {
	if lastKind != nil && lastKind.text == string(text) {
		return lastKind, nil
	}
	var read crdv1.CustomResourceDefinition
	if err := json.Unmarshal(text, &read); err != nil {
		return nil, err
	}
	version := read.Spec.Versions[0]
	props, err := json.Marshal(version.Schema.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	_, structural, err := customSchema(props)
	if err != nil {
		return nil, err
	}
	converter, err := customTyping(&read)
	lastKind = &customKind{
		text:       string(text),
		kind:       schema.GroupVersionKind{Group: read.Spec.Group, Version: version.Name, Kind: read.Spec.Names.Kind},
		hasStatus:  version.Subresources != nil && version.Subresources.Status != nil,
		structural: structural,
		converter:  converter,
	}
	return lastKind, err
}

// customTyping is the schema that server-side apply goes by: that of the definition, and that of metadata.
func customTyping(of *crdv1.CustomResourceDefinition) (managedfields.TypeConverter, error) {
	all, err := allTypes()
	if err != nil {
		return nil, err
	}
	metadata := map[string]*spec.Schema{}
	for name, schema := range all {
		if strings.HasPrefix(name, "io.k8s.apimachinery.pkg.apis.meta.v1.") {
			metadata[name] = schema
		}
	}
	own, err := builder.BuildOpenAPIV3(of, of.Spec.Versions[0].Name, builder.Options{})
	if err != nil {
		return nil, err
	}
	static := &spec3.OpenAPI{Version: "3.0.0", Info: &spec.Info{}, Components: &spec3.Components{Schemas: metadata}}
	merged, err := builder.MergeSpecsV3(static, own)
	if err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(merged.Components.Schemas, false)
}

// A definition with one version needs no conversion, creates objects without types and fills in by its schema.

func (k *customKind) Convert(in, out, _ any) error {
	out.(*unstructured.Unstructured).Object = in.(*unstructured.Unstructured).Object
	return nil
}

func (k *customKind) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}

func (k *customKind) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

func (k *customKind) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	made := &unstructured.Unstructured{}
	made.SetGroupVersionKind(kind)
	return made, nil
}

func (k *customKind) Default(in runtime.Object) {
	defaulting.Default(in.(*unstructured.Unstructured).Object, k.structural)
}

// read is an object as the server has it before it is written.
func (k *customKind) read(text json.RawMessage) (runtime.Object, error) {
	tree, err := customTree(text)
	if err != nil {
		return nil, err
	}
	pruning.PruneWithOptions(tree, k.structural, true, structuralschema.UnknownFieldPathOptions{})
	defaulting.PruneNonNullableNullsWithoutDefaults(tree, k.structural)
	if fieldErr, _ := objectmeta.CoerceWithOptions(nil, tree, k.structural, false, objectmeta.CoerceOptions{}); fieldErr != nil {
		return nil, fieldErr
	}
	object := &unstructured.Unstructured{Object: tree}
	k.Default(object)
	return object, nil
}

func customWriter(text json.RawMessage, subresource string) (*writer, error) {
	of, err := customKindOf(text)
	if err != nil {
		return nil, err
	}
	resets := map[fieldpath.APIVersion]*fieldpath.Set{}
	version := fieldpath.APIVersion(of.kind.GroupVersion().String())
	switch {
	case subresource == "status":
		resets[version] = fieldpath.NewSet(fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
	case of.hasStatus:
		resets[version] = fieldpath.NewSet(fieldpath.MakePathOrDie("status"))
	}
	manager, err := managedfields.NewDefaultCRDFieldManager(
		of.converter, of, of, of, of.kind, of.kind.GroupVersion(), subresource, fieldpath.NewExcludeFilterSetMap(resets),
	)
	return &writer{
		manager: manager,
		create:  func() (runtime.Object, error) { return of.New(of.kind) },
		read:    of.read,
		show: func(object runtime.Object) (answer, error) {
			text, err := json.Marshal(object)
			return answer{Object: text}, err
		},
	}, err
}
