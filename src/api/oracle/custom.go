package main

import (
	"context"
	"encoding/json"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crdinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	crdv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func init() {
	crdinstall.Install(types)
}

// What becomes of one object of a definition.
type customAnswer struct {
	Unknown []string        `json:"unknown"`
	Object  json.RawMessage `json:"object"`
	Causes  []customCause   `json:"causes"`
}

type customCause struct {
	Field   string `json:"field"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func causes(errs field.ErrorList) []customCause {
	found := []customCause{}
	for _, err := range errs {
		found = append(found, customCause{err.Field, string(err.Type), err.ErrorBody()})
	}
	return found
}

func customSchema(text json.RawMessage) (*apiextensions.JSONSchemaProps, *structuralschema.Structural, error) {
	var props crdv1.JSONSchemaProps
	if err := utiljson.Unmarshal(text, &props); err != nil {
		return nil, nil, err
	}
	internal := &apiextensions.JSONSchemaProps{}
	if err := crdv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&props, internal, nil); err != nil {
		return nil, nil, err
	}
	structural, err := structuralschema.NewStructural(internal)
	return internal, structural, err
}

func customTree(text json.RawMessage) (map[string]interface{}, error) {
	var tree map[string]interface{}
	err := utiljson.Unmarshal(text, &tree)
	return tree, err
}

// customObject prunes, defaults and validates an object by a schema (modified); current is what was there before.
func customObject(asked request) (answer, error) {
	internal, structural, err := customSchema(asked.Modified)
	if err != nil {
		return answer{}, err
	}
	object, err := customTree(asked.Object)
	if err != nil {
		return answer{}, err
	}
	unknown := pruning.PruneWithOptions(object, structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	defaulting.PruneNonNullableNullsWithoutDefaults(object, structural)
	fieldErr, more := objectmeta.CoerceWithOptions(nil, object, structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if fieldErr != nil {
		return answer{}, fieldErr
	}
	unknown = append(unknown, more...)
	defaulting.Default(object, structural)
	told := customAnswer{Unknown: unknown}
	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return answer{}, err
	}
	var errs field.ErrorList
	if len(asked.Current) > 0 {
		old, err := customTree(asked.Current)
		if err != nil {
			return answer{}, err
		}
		errs = validation.ValidateCustomResourceUpdate(nil, object, old, validator, validation.WithRatcheting(nil))
		errs = append(errs, objectmeta.Validate(context.Background(), nil, object, structural, false)...)
		if len(listtype.ValidateListSetsAndMaps(nil, structural, old)) == 0 {
			errs = append(errs, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
		}
	} else {
		errs = validation.ValidateCustomResource(nil, object, validator)
		errs = append(errs, objectmeta.Validate(context.Background(), nil, object, structural, false)...)
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
	}
	told.Causes = causes(errs)
	if told.Object, err = json.Marshal(object); err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(told)
	return answer{Object: text}, err
}

// customDefinition creates a definition, or changes current into it.
func customDefinition(asked request) (answer, error) {
	decode := func(text json.RawMessage) (*apiextensions.CustomResourceDefinition, error) {
		var versioned crdv1.CustomResourceDefinition
		if err := utiljson.Unmarshal(text, &versioned); err != nil {
			return nil, err
		}
		crdv1.SetObjectDefaults_CustomResourceDefinition(&versioned)
		internal := &apiextensions.CustomResourceDefinition{}
		return internal, crdv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&versioned, internal, nil)
	}
	object, err := decode(asked.Object)
	if err != nil {
		return answer{}, err
	}
	strategy := customresourcedefinition.NewStrategy(types)
	ctx := context.Background()
	var errs field.ErrorList
	if len(asked.Current) > 0 {
		old, err := decode(asked.Current)
		if err != nil {
			return answer{}, err
		}
		strategy.PrepareForUpdate(ctx, object, old)
		errs = strategy.ValidateUpdate(ctx, object, old)
	} else {
		strategy.PrepareForCreate(ctx, object)
		errs = strategy.Validate(ctx, object)
	}
	told := customAnswer{Causes: causes(errs), Unknown: strategy.WarningsOnCreate(ctx, object)}
	var versioned crdv1.CustomResourceDefinition
	if err := crdv1.Convert_apiextensions_CustomResourceDefinition_To_v1_CustomResourceDefinition(object, &versioned, nil); err != nil {
		return answer{}, err
	}
	if told.Object, err = json.Marshal(versioned); err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(told)
	return answer{Object: text}, err
}

// customTable is the row of an object under columns (modified).
func customTable(asked request) (answer, error) {
	var columns []crdv1.CustomResourceColumnDefinition
	if err := json.Unmarshal(asked.Modified, &columns); err != nil {
		return answer{}, err
	}
	tree, err := customTree(asked.Object)
	if err != nil {
		return answer{}, err
	}
	convertor, err := tableconvertor.New(columns)
	if err != nil {
		return answer{}, err
	}
	table, err := convertor.ConvertToTable(context.Background(), &unstructured.Unstructured{Object: tree}, nil)
	if err != nil {
		return answer{}, err
	}
	text, err := json.Marshal(table.Rows[0].Cells)
	return answer{Object: text}, err
}

var customOperations = map[string]func(request) (answer, error){
	"custom-object":     customObject,
	"custom-definition": customDefinition,
	"custom-table":      customTable,
}
