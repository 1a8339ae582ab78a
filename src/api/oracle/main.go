// Answers what Kubernetes' own libraries make of an input: a request a line in JSON, an answer a line.
//
// For tests, which send random inputs here and to the code under test, and compare.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

type request struct {
	Operation string          `json:"operation"`
	Text      string          `json:"text"`
	Bytes     []byte          `json:"bytes"`
	Object    json.RawMessage `json:"object"`
	Modified  json.RawMessage `json:"modified"`
	Current   json.RawMessage `json:"current"`
}

type answer struct {
	Error  string          `json:"error,omitempty"`
	Text   string          `json:"text,omitempty"`
	Bytes  []byte          `json:"bytes,omitempty"`
	Object json.RawMessage `json:"object,omitempty"`
	Status json.RawMessage `json:"status,omitempty"`
	Patch  json.RawMessage `json:"patch,omitempty"`
}

var (
	types    = runtime.NewScheme()
	codecs   serializer.CodecFactory
	messages *protobuf.Serializer
)

func main() {
	log.SetFlags(0)
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme,
	} {
		if err := add(types); err != nil {
			log.Fatal(err)
		}
	}
	codecs = serializer.NewCodecFactory(types)
	messages = protobuf.NewSerializer(types, types)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			log.Fatal(err)
		}
		told, err := guarded(asked)
		if err != nil {
			told = answer{Error: err.Error()}
		}
		text, err := json.Marshal(told)
		if err != nil {
			log.Fatal(err)
		}
		out.Write(append(text, '\n'))
		out.Flush()
	}
}

func reply(asked request) (answer, error) {
	switch asked.Operation {
	case "quantity":
		parsed, err := resource.ParseQuantity(asked.Text)
		return answer{Text: parsed.String()}, err
	case "protobuf":
		// What a client makes of the bytes that a server sends, and what it would send itself.
		object, _, err := messages.Decode(asked.Bytes, nil, nil)
		if err != nil {
			return answer{}, err
		}
		return encoded(object)
	case "json":
		object, _, err := codecs.UniversalDeserializer().Decode(asked.Object, nil, nil)
		if err != nil {
			return answer{}, err
		}
		return encoded(object)
	case "strategic":
		return strategic(asked)
	case "default":
		return defaulted(asked)
	case "create":
		return created(asked)
	case "update":
		return updated(asked)
	case "openapi":
		return document(asked)
	case "table":
		return tabled(asked)
	case "write", "apply":
		return managed(asked)
	case "scale":
		return scaled(asked)
	case "rescale":
		return rescaled(asked)
	case "sets":
		return combined(asked)
	case "yaml":
		return plain(asked)
	case "yaml-strict":
		return strict(asked)
	case "convert":
		return converted(asked)
	}
	if operation, found := customOperations[asked.Operation]; found {
		return operation(asked)
	}
	return answer{}, fmt.Errorf("no operation is called %q", asked.Operation)
}

func encoded(object runtime.Object) (answer, error) {
	var message bytes.Buffer
	if err := messages.Encode(object, &message); err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(object)
	return answer{Object: text, Bytes: message.Bytes()}, err
}

// strategic makes the patch that kubectl apply would send, and applies it.
func strategic(asked request) (answer, error) {
	var meta runtime.TypeMeta
	if err := json.Unmarshal(asked.Object, &meta); err != nil {
		return answer{}, err
	}
	object, err := types.New(schema.FromAPIVersionAndKind(meta.APIVersion, meta.Kind))
	if err != nil {
		return answer{}, err
	}
	lookup, err := strategicpatch.NewPatchMetaFromStruct(object)
	if err != nil {
		return answer{}, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(asked.Object, asked.Modified, asked.Current, lookup, true)
	if err != nil {
		return answer{}, err
	}
	merged, err := strategicpatch.StrategicMergePatch(asked.Current, patch, object)
	if err != nil {
		return answer{Patch: patch}, err
	}
	return answer{Object: merged, Patch: patch}, nil
}
