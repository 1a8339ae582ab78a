// Prints the schema of Kubernetes' API types as data: what a field is called, in what order Go writes it and when
// it leaves it out, its protobuf number, how lists merge; and the resources that are served of these types.
//
// The facts come from two places. The Go types carry the order, the kinds of values and, in their tags, the
// protobuf numbers. The OpenAPI documents that are published beside them say what is required, what defaults a
// type itself has, and how lists and maps merge. Discovery documents name the resources, printers their columns.
//
// Run by hand (./run); neither building nor using the project needs Go.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Kinds that no resource names but every client sends or reads.
var metaKinds = []any{
	meta.ObjectMeta{}, meta.ListMeta{}, meta.Status{}, meta.DeleteOptions{}, meta.PartialObjectMetadata{},
	meta.PartialObjectMetadataList{}, meta.Table{}, meta.TableOptions{}, meta.WatchEvent{}, meta.APIGroup{},
	meta.APIGroupList{}, meta.APIResourceList{}, meta.APIVersions{}, meta.CreateOptions{}, meta.UpdateOptions{},
	meta.PatchOptions{}, meta.GetOptions{}, meta.ListOptions{},
}

type typeRow struct {
	Name   string
	Atomic bool
	Fields []fieldRow
}

// Omitted members are false, empty or none.
type fieldRow struct {
	Name     string          `json:"name"`
	Number   int             `json:"number,omitempty"`
	Inside   []int           `json:"inside,omitempty"`
	Type     string          `json:"type"`
	Go       string          `json:"go,omitempty"`
	Presence string          `json:"presence"`
	Null     bool            `json:"null,omitempty"`
	Required bool            `json:"required,omitempty"`
	Default  json.RawMessage `json:"default,omitempty"`
	List     string          `json:"list,omitempty"`
	Keys     []string        `json:"keys,omitempty"`
	Patch    string          `json:"patch,omitempty"`
	PatchKey string          `json:"patchKey,omitempty"`
	Enum     []any           `json:"enum,omitempty"`
}

type property struct {
	Ref        string              `json:"$ref"`
	AllOf      []property          `json:"allOf"`
	Default    json.RawMessage     `json:"default"`
	List       string              `json:"x-kubernetes-list-type"`
	Map        string              `json:"x-kubernetes-map-type"`
	Keys       []string            `json:"x-kubernetes-list-map-keys"`
	Patch      string              `json:"x-kubernetes-patch-strategy"`
	PatchKey   string              `json:"x-kubernetes-patch-merge-key"`
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: generate KUBERNETES_SOURCES OUTPUT_FOLDER")
	}
	sources, output := os.Args[1], os.Args[2]
	documents := readDocuments(filepath.Join(sources, "api/openapi-spec/v3"))
	resources := readResources(filepath.Join(sources, "api/discovery"))
	writeResources(filepath.Join(output, "resources.json"), resources)
	writeColumns(filepath.Join(output, "columns.json"), readColumns(resources))
	writeInternal(filepath.Join(output, "internal.json"), readInternal(sources))
	writeTypes(filepath.Join(output, "types.json"), collect(documents, resources))
}

func readDocuments(folder string) map[string]property {
	all := map[string]property{}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	check(err)
	for _, file := range files {
		var document struct {
			Components struct{ Schemas map[string]property }
		}
		text, err := os.ReadFile(file)
		check(err)
		check(json.Unmarshal(text, &document))
		for name, found := range document.Components.Schemas {
			all[name] = found
		}
	}
	if len(all) == 0 {
		log.Fatalf("no OpenAPI documents in %s", folder)
	}
	return all
}

// collect walks the types of all versions that have resources, and those that they are made of.
func collect(documents map[string]property, resources []resourceRow) []typeRow {
	served := map[schema.GroupVersion]bool{metrics.SchemeGroupVersion: true}
	for _, row := range resources {
		served[schema.GroupVersion{Group: row.Group, Version: row.Version}] = true
	}
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme, metrics.AddToScheme,
	} {
		check(add(types))
	}
	walk := walker{documents: documents, defined: definitions(), seen: map[reflect.Type]bool{}}
	for _, kind := range metaKinds {
		walk.add(reflect.TypeOf(kind))
	}
	for version, kind := range types.AllKnownTypes() {
		if served[version.GroupVersion()] {
			walk.add(kind)
		}
	}
	sort.Slice(walk.rows, func(a, b int) bool { return walk.rows[a].Name < walk.rows[b].Name })
	return walk.rows
}

type walker struct {
	documents map[string]property
	defined   map[string]common.OpenAPIDefinition
	seen      map[reflect.Type]bool
	rows      []typeRow
}

// definitions are what the server's own documents are made of: the published ones leave out which words a field knows.
func definitions() map[string]common.OpenAPIDefinition {
	return openapi.GetOpenAPIDefinitions(func(path string) spec.Ref { return spec.MustCreateRef(path) })
}

// words are those that a field knows, or its items.
func (w *walker) words(model, field string) []any {
	property := w.defined[model].Schema.Properties[field]
	switch {
	case property.Items != nil && property.Items.Schema != nil:
		return property.Items.Schema.Enum
	case property.AdditionalProperties != nil && property.AdditionalProperties.Schema != nil:
		return property.AdditionalProperties.Schema.Enum
	}
	return property.Enum
}

func (w *walker) add(of reflect.Type) {
	if w.seen[of] {
		return
	}
	w.seen[of] = true
	name := modelName(of)
	row := typeRow{Name: name, Atomic: w.documents[name].Map == "atomic"}
	w.fields(of, w.documents[name], &row.Fields)
	w.rows = append(w.rows, row)
}

func (w *walker) fields(of reflect.Type, document property, into *[]fieldRow) {
	required := map[string]bool{}
	for _, name := range document.Required {
		required[name] = true
	}
	for at := range of.NumField() {
		field := of.Field(at)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() || field.Type == reflect.TypeFor[meta.TypeMeta]() {
			continue
		}
		if name == "" {
			// Inlined: its fields are the outer type's. In protobuf it is a message with a number of its own.
			inner := field.Type
			if !field.Anonymous && !strings.Contains(options, "inline") {
				log.Fatalf("%s.%s has no name", of, field.Name)
			}
			from := len(*into)
			w.fields(inner, document, into)
			for at := from; at < len(*into); at++ {
				(*into)[at].Inside = append([]int{number(of, field)}, (*into)[at].Inside...)
			}
			continue
		}
		property := document.Properties[name]
		row := fieldRow{
			Name: name, Number: number(of, field), Type: w.typeName(field.Type), Go: goName(field.Type), Presence: presence(field.Type, options),
			Null: isNull(field.Type, options), Required: required[name], Default: defaultOf(property, field.Type), List: property.List, Keys: property.Keys,
			Patch: property.Patch, PatchKey: property.PatchKey, Enum: w.words(modelName(of), name),
		}
		if row.List == "" {
			row.List = property.Map
		}
		*into = append(*into, row)
	}
}

// number is the field's number in protobuf; a type without any is not sent that way.
func number(of reflect.Type, field reflect.StructField) int {
	parts := strings.Split(field.Tag.Get("protobuf"), ",")
	if len(parts) < 2 {
		return 0
	}
	number, err := strconv.Atoi(parts[1])
	check(err)
	return number
}

// The types that have a form of their own in JSON.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "fields",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "int-or-string",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "raw",
	"k8s.io/apimachinery/pkg/runtime.Object":                                                "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "json",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "schema-or-bool",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "schema-or-array",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}

func (w *walker) typeName(of reflect.Type) string {
	if name, found := special[of.PkgPath()+"."+of.Name()]; found {
		return name
	}
	switch of.Kind() {
	case reflect.Pointer:
		return w.typeName(of.Elem())
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + w.typeName(of.Elem())
	case reflect.Map:
		return "map:" + w.typeName(of.Elem())
	case reflect.Struct:
		w.add(of)
		return modelName(of)
	case reflect.Interface:
		return "json"
	case reflect.Bool, reflect.String, reflect.Int32, reflect.Int64, reflect.Float64:
		return of.Kind().String()
	case reflect.Uint8, reflect.Int, reflect.Uint32:
		return "int64"
	}
	log.Fatalf("no name for %s", of)
	return ""
}

// goName is what Go's decoder calls the field's type in its errors, where that does not follow from the rest.
func goName(of reflect.Type) string {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if _, found := special[of.PkgPath()+"."+of.Name()]; found || of.String() == plainName(of) {
		return ""
	}
	return of.String()
}

func plainName(of reflect.Type) string {
	switch of.Kind() {
	case reflect.Pointer:
		return plainName(of.Elem())
	case reflect.Slice:
		return "[]" + plainName(of.Elem())
	case reflect.Map:
		return "map[string]" + plainName(of.Elem())
	case reflect.Struct, reflect.Interface:
		return of.String()
	}
	return of.Kind().String()
}

// presence says when Go writes the field. Null is never stored, so what Go would write as null is not there.
func presence(of reflect.Type, options string) string {
	empty, zero := strings.Contains(options, "omitempty"), strings.Contains(options, "omitzero")
	switch of.Kind() {
	case reflect.Pointer, reflect.Interface:
		return "given"
	case reflect.Slice, reflect.Map:
		// Empty and absent are one in protobuf, in which Kubernetes stores.
		return "nonempty"
	case reflect.Struct:
		switch special[of.PkgPath()+"."+of.Name()] {
		case "time", "microtime", "raw", "json", "fields":
			return "given"
		}
		if zero {
			return "nonempty"
		}
		return "always"
	}
	if empty || zero {
		return "nonempty"
	}
	return "always"
}

// isNull says whether Go writes null where nothing was given. Null is never stored, but the owner of a list that is filled
// in later did not add the list.
func isNull(of reflect.Type, options string) bool {
	switch of.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")
	case reflect.Struct:
		switch special[of.PkgPath()+"."+of.Name()] {
		case "time", "microtime", "raw", "json":
			return !strings.Contains(options, "omitzero")
		}
	}
	return false
}

// defaultOf leaves out the zero values that every field has which Go cannot leave empty.
func defaultOf(of property, held reflect.Type) json.RawMessage {
	switch string(of.Default) {
	case `""`, `{}`, "0", "false":
		if held.Kind() != reflect.Pointer {
			return nil
		}
	}
	return of.Default
}

// modelName is the name that OpenAPI gives to a Go type: io.k8s.api.core.v1.Pod.
func modelName(of reflect.Type) string {
	if named, ok := reflect.New(of).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	host, path, _ := strings.Cut(of.PkgPath(), "/")
	labels := strings.Split(host, ".")
	for low, high := 0, len(labels)-1; low < high; low, high = low+1, high-1 {
		labels[low], labels[high] = labels[high], labels[low]
	}
	return strings.Join(labels, ".") + "." + strings.ReplaceAll(path, "/", ".") + "." + of.Name()
}

// writeTypes writes a field a line, so that a change of version reads well.
func writeTypes(path string, rows []typeRow) {
	file, err := os.Create(path)
	check(err)
	out := bufio.NewWriter(file)
	fmt.Fprint(out, "[\n")
	for at, row := range rows {
		atomic := ""
		if row.Atomic {
			atomic = `"atomic":true,`
		}
		fmt.Fprintf(out, "{\"name\":%q,%s\"fields\":[", row.Name, atomic)
		for at, field := range row.Fields {
			text, err := json.Marshal(field)
			check(err)
			fmt.Fprintf(out, "%s\n  %s", separator(at), text)
		}
		fmt.Fprintf(out, "\n]}%s\n", strings.TrimSpace(separator(len(rows)-at-1)))
	}
	fmt.Fprint(out, "]\n")
	check(out.Flush())
	check(file.Close())
}

func separator(at int) string {
	if at == 0 {
		return ""
	}
	return ","
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
