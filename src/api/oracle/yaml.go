package main

import "sigs.k8s.io/yaml"

// plain is what a client reads in YAML.
func plain(asked request) (answer, error) {
	text, err := yaml.YAMLToJSON([]byte(asked.Text))
	return answer{Object: text}, err
}

// strict says what a reader finds that takes no key twice.
func strict(asked request) (answer, error) {
	_, err := yaml.YAMLToJSONStrict([]byte(asked.Text))
	return answer{}, err
}
