package main

import "sigs.k8s.io/yaml"

// plain is what a client reads in YAML.
func plain(asked request) (answer, error) {
	text, err := yaml.YAMLToJSON([]byte(asked.Text))
	return answer{Object: text}, err
}
