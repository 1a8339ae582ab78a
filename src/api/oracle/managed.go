package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	wholejson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	openapiutil "k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	generated "k8s.io/kubernetes/pkg/generated/openapi"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// What a write is beside its object.
type writing struct {
	Manager     string `json:"manager"`
	Subresource string `json:"subresource"`
	Now         string `json:"now"`
	Force       bool   `json:"force"`
}

// allTypes are the types of all kinds.
var allTypes = sync.OnceValues(func() (map[string]*spec.Schema, error) {
	namer := openapi.NewDefinitionNamer(legacyscheme.Scheme)
	config := &common.OpenAPIV3Config{
		Info: &spec.Info{}, GetDefinitionName: namer.GetDefinitionName, GetDefinitions: generated.GetOpenAPIDefinitions,
	}
	config.Definitions = config.GetDefinitions(func(name string) spec.Ref {
		short, _ := config.GetDefinitionName(name)
		return spec.MustCreateRef("#/components/schemas/" + common.EscapeJsonPointer(short))
	})
	var names []string
	for kind := range strategies {
		for _, version := range legacyscheme.Scheme.PrioritizedVersionsForGroup(kind.Group) {
			if sample, err := legacyscheme.Scheme.New(version.WithKind(kind.Kind)); err == nil {
				names = append(names, openapiutil.GetCanonicalTypeName(sample))
			}
		}
	}
	return builder3.BuildOpenAPIDefinitionsForResources(config, names...)
})

// typing is the schema of all kinds that server-side apply goes by.
var typing = sync.OnceValues(func() (managedfields.TypeConverter, error) {
	all, err := allTypes()
	if err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(all, false)
})

func resets(kind schema.GroupKind, subresource string) map[fieldpath.APIVersion]fieldpath.Filter {
	var found any = strategies[kind]
	if subresource != "" {
		found = parts[subresource][kind]
	}
	switch found := found.(type) {
	case rest.ResetFieldsFilterStrategy:
		return found.GetResetFieldsFilter()
	case rest.ResetFieldsStrategy:
		return fieldpath.NewExcludeFilterSetMap(found.GetResetFields())
	}
	return nil
}

// A writer writes objects of a kind, and reads them.
type writer struct {
	manager *managedfields.FieldManager
	create  func() (runtime.Object, error)
	read    func(json.RawMessage) (runtime.Object, error)
	show    func(runtime.Object) (answer, error)
}

func builtinWriter(kind schema.GroupVersionKind, subresource string) (*writer, error) {
	converter, err := typing()
	if err != nil {
		return nil, err
	}
	types := legacyscheme.Scheme
	hub := schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}
	manager, err := managedfields.NewDefaultFieldManager(converter, types, types, types, kind, hub, subresource, resets(kind.GroupKind(), subresource))
	return &writer{
		manager: manager,
		create:  func() (runtime.Object, error) { return types.New(kind) },
		read: func(text json.RawMessage) (runtime.Object, error) {
			object, _, err := decoded(text)
			return object, err
		},
		show: func(object runtime.Object) (answer, error) { return shown(object, kind) },
	}, err
}

// managed writes an object over the current one, and says who owns its fields then. Of a kind that Kubernetes does not
// bring, the request's object is the definition.
func managed(asked request) (answer, error) {
	var how writing
	if err := json.Unmarshal([]byte(asked.Text), &how); err != nil {
		return answer{}, err
	}
	var of runtime.TypeMeta
	if err := json.Unmarshal(asked.Modified, &of); err != nil {
		return answer{}, err
	}
	kind := schema.FromAPIVersionAndKind(of.APIVersion, of.Kind)
	var by *writer
	var err error
	if len(asked.Object) > 0 {
		by, err = customWriter(asked.Object, how.Subresource)
	} else {
		by, err = builtinWriter(kind, how.Subresource)
	}
	if err != nil {
		return answer{}, err
	}
	current, err := by.create()
	if err != nil {
		return answer{}, err
	}
	if len(asked.Current) > 0 {
		if current, err = by.read(asked.Current); err != nil {
			return answer{}, err
		}
	}
	var written runtime.Object
	if asked.Operation == "apply" {
		patch := &unstructured.Unstructured{}
		// A server reads numbers as fractions, and loses the last digits of large ones: that is not compared.
		if err := wholejson.Unmarshal(asked.Modified, &patch.Object); err != nil {
			return answer{}, err
		}
		written, err = by.manager.Apply(current, patch, how.Manager, how.Force)
	} else {
		var object runtime.Object
		if object, err = by.read(asked.Modified); err != nil {
			return answer{}, err
		}
		written, err = by.manager.Update(current, object, how.Manager)
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return refused(err)
	}
	if err != nil {
		return answer{}, err
	}
	if err := setNow(written.(meta.Object), how.Now); err != nil {
		return answer{}, err
	}
	return by.show(written)
}

// setNow puts a moment that the test knows in place of the present one: tests live in the past.
func setNow(object meta.Object, now string) error {
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		return err
	}
	entries := object.GetManagedFields()
	for i := range entries {
		if entries[i].Time != nil && time.Since(entries[i].Time.Time) < time.Hour {
			entries[i].Time = &meta.Time{Time: at}
		}
	}
	object.SetManagedFields(entries)
	return nil
}

// scaled is who owns the fields of an object, as its scale shows it, or after its scale was written.
func scaled(asked request) (answer, error) {
	var parent, scale []meta.ManagedFieldsEntry
	if err := json.Unmarshal(asked.Current, &parent); err != nil {
		return answer{}, err
	}
	replicas := fieldpath.MakePathOrDie("spec", "replicas")
	handler := managedfields.NewScaleHandler(parent, schema.GroupVersion{Group: "apps", Version: "v1"},
		managedfields.ResourcePathMappings{"apps/v1": replicas, "apps/v1beta1": replicas})
	told, err := handler.ToSubresource()
	if len(asked.Modified) > 0 {
		if err := json.Unmarshal(asked.Modified, &scale); err != nil {
			return answer{}, err
		}
		told, err = handler.ToParent(scale)
	}
	if err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(told)
	return answer{Object: text}, err
}

// combined is what two sets of fields make together.
func combined(asked request) (answer, error) {
	var sets [2]fieldpath.Set
	for at, text := range []json.RawMessage{asked.Current, asked.Modified} {
		var fields meta.FieldsV1
		if err := json.Unmarshal(text, &fields); err != nil {
			return answer{}, err
		}
		if err := sets[at].FromJSON(fields.GetRawReader()); err != nil {
			return answer{}, err
		}
	}
	a, b := &sets[0], &sets[1]
	told := map[string]json.RawMessage{}
	for name, set := range map[string]*fieldpath.Set{
		"self": a, "union": a.Union(b), "intersection": a.Intersection(b),
		"difference": a.Difference(b), "recursive": a.RecursiveDifference(b),
	} {
		text, err := set.ToJSON()
		if err != nil {
			return answer{}, fmt.Errorf("%s: %w", name, err)
		}
		told[name] = text
	}
	text, err := json.Marshal(told)
	return answer{Object: text}, err
}
