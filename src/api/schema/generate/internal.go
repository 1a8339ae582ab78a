package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
)

// Types that refusals show as Kubernetes' own code holds them.
var shownInternally = []string{
	"PersistentVolumeClaim", "PersistentVolumeSource", "PodTemplateSpec", "VolumeNodeAffinity",
}

// A field of an internal type: its name, and what it is when nobody says: nothing, text, a number, false, an amount,
// a label selector, or an object of its own (`=Name`). What may be missing or repeated is nothing, and made of another type (`*Name`).
type internalField [2]string

// readInternal collects internal types of the core group, and those that they are made of, in the order of their fields.
func readInternal(sources string) map[string][]internalField {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(sources, "pkg/apis/core/types.go"), nil, 0)
	check(err)
	declared := map[string]ast.Expr{}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.TypeSpec); ok {
			declared[spec.Name.Name] = spec.Type
		}
		return true
	})
	all := map[string][]internalField{}
	for _, name := range shownInternally {
		collectInternal(name, declared, all)
	}
	return all
}

func collectInternal(name string, declared map[string]ast.Expr, all map[string][]internalField) {
	if _, known := all[name]; known {
		return
	}
	of, ok := declared[name].(*ast.StructType)
	if !ok {
		log.Fatalf("no internal type %s", name)
	}
	all[name] = nil
	fields := []internalField{}
	for _, field := range of.Fields.List {
		what := internalType(field.Type, declared)
		if len(what) > 1 && (what[0] == '=' || what[0] == '*') {
			collectInternal(what[1:], declared, all)
		}
		if len(field.Names) == 0 {
			fields = append(fields, internalField{"", what})
		}
		for _, name := range field.Names {
			fields = append(fields, internalField{name.Name, what})
		}
	}
	all[name] = fields
}

func internalType(of ast.Expr, declared map[string]ast.Expr) string {
	switch of := of.(type) {
	case *ast.StarExpr:
		return below(of.X, declared)
	case *ast.ArrayType:
		return below(of.Elt, declared)
	case *ast.MapType:
		return below(of.Value, declared)
	case *ast.SelectorExpr:
		switch of.Sel.Name {
		case "UID":
			return "text"
		case "IntOrString":
			return "number"
		case "Quantity":
			return "amount"
		case "ObjectMeta":
			return "metadata"
		case "TypeMeta":
			return "type"
		case "LabelSelector":
			return "selector"
		}
		return ""
	case *ast.Ident:
		switch of.Name {
		case "string":
			return "text"
		case "bool":
			return "false"
		case "int", "int32", "int64":
			return "number"
		}
		if _, ok := declared[of.Name].(*ast.StructType); ok {
			return "=" + of.Name
		}
		return internalType(declared[of.Name], declared)
	}
	log.Fatalf("an internal type of another form: %T", of)
	return ""
}

// What is behind a pointer or in a list; nothing where it is no internal struct.
func below(of ast.Expr, declared map[string]ast.Expr) string {
	what := internalType(of, declared)
	if what == "selector" {
		return what
	}
	if len(what) > 1 && (what[0] == '=' || what[0] == '*') {
		return "*" + what[1:]
	}
	return ""
}

func writeInternal(file string, types map[string][]internalField) {
	text, err := json.Marshal(types)
	check(err)
	check(os.WriteFile(file, append(text, '\n'), 0o644))
}
