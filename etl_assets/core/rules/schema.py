"""The JSON Schema of a rule set's document, by which editors complete and check while one types.

It accepts what the models accept, but does not know all that they refuse: `etl-assets rules`
has the last word.
"""

import re
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from etl_assets.core.rules.rule_set import RuleSet

DIALECT = "http://json-schema.org/draft-07/schema#"
"""What the language servers of editors know best."""


class _Editors(GenerateJsonSchema):
    """Describes what is written, where a model makes something else of it before it looks."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        made = super().function_before_schema(schema)
        if "null" in made.get("enum", ()):  # the word, without quotes
            return {"enum": [*made["enum"], None]}
        if made.get("type") == "string":  # a number or boolean counts as its text
            return {**made, "type": ["string", "number", "boolean"]}
        return {"anyOf": [{"type": "string"}, made]}  # a name that stands for it

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401  (pydantic's own)
        del schema
        return False


def rule_set_schema() -> dict[str, Any]:
    """Return the schema; the same for the same models, so that it can be compared."""
    made = RuleSet.model_json_schema(schema_generator=_Editors)
    for model in (made, *made["$defs"].values()):
        _describe_fields(model)
    return {"$schema": DIALECT, **made}


def _describe_fields(model: dict[str, Any]) -> None:
    """Give each field its own part of the model's docstring."""
    model["description"], _, fields = model.get("description", "").partition("\n\nAttributes:\n")
    for name, said in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", fields, re.MULTILINE):
        model["properties"][name]["description"] = " ".join(said.split())
