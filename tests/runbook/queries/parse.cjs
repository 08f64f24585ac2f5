// Parses queries with the grammars of Prometheus and Tempo, and prints the names in them:
//
//     node parse.cjs DIRECTORY <QUERIES
//
// DIRECTORY has the packages of `scripts/queries`. QUERIES is a JSON array of {language, text}. The output is a JSON
// array with {error}, or with {selectors, groups, attributes}, for each query.
"use strict";

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const load = createRequire(`${process.argv[2]}/`);
const languages = {
    promql: { parser: load("@prometheus-io/lezer-promql").parser, names: promql },
    traceql: { parser: load("@grafana/lezer-traceql").parser, names: traceql },
};

const queries = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(parse)));

function parse({ language, text }) {
    const { parser, names } = languages[language];
    const tree = parser.parse(text);
    const error = find(tree.topNode, (node) => node.type.isError)[0];
    if (error) {
        const rest = text.slice(error.from).split("\n")[0];
        return { error: rest ? `unexpected ${rest}` : "unexpected end" };
    }
    return names(text, tree.topNode);
}

// Returns the selectors, and the labels of each `by`, `without`, `on`, `ignoring` with the metrics that it applies to.
function promql(text, top) {
    const name = (node) => unquoted(text.slice(node.from, node.to));
    const selector = (node) => {
        const matchers = find(node, ({ name }) => name === "UnquotedLabelMatcher" || name === "QuotedLabelMatcher");
        return {
            metric: text.slice(node.from, node.to).match(/^[^{\s]+/)?.[0] ?? "",
            matchers: matchers.map(({ firstChild, lastChild }) => ({
                name: name(firstChild),
                operator: name(firstChild.nextSibling),
                value: name(lastChild),
            })),
        };
    };
    const selectors = (node) => find(node, ({ name }) => name === "VectorSelector").map(selector);
    const groups = find(top, ({ name }) => name === "GroupingLabels").map((labels) => {
        let expression = labels;
        while (!expression.name.endsWith("Expr")) {
            expression = expression.parent;
        }
        return {
            labels: find(labels, (node) => node.name.endsWith("LabelName")).map(name),
            metrics: selectors(expression).map(({ metric }) => metric),
        };
    });
    return { selectors: selectors(top), groups, attributes: [] };
}

// Returns the attributes, each with what it is compared with.
function traceql(text, top) {
    const attributes = find(top, ({ name }) => name === "AttributeField").map((field) => {
        const operator = field.parent?.nextSibling;
        const value = operator?.name === "FieldOp" ? operator.nextSibling : null;
        return {
            name: text.slice(field.from, field.to),
            operator: value ? text.slice(operator.from, operator.to) : "",
            value: value ? unquoted(text.slice(value.from, value.to)) : "",
        };
    });
    return { selectors: [], groups: [], attributes };
}

function find(node, wanted) {
    const found = wanted(node) ? [node] : [];
    for (let child = node.firstChild; child; child = child.nextSibling) {
        found.push(...find(child, wanted));
    }
    return found;
}

function unquoted(text) {
    return text.replace(/^(["'`])(.*)\1$/, "$2");
}
