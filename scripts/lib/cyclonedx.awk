# Turns the lines of scripts/sbom (rust, sum and crate, with tab-separated fields) into CycloneDX.
# Not cargo-cyclonedx: some 120 crates to compile in CI, outside Cargo.lock and deny.toml, for one page of JSON.

$1 == "rust" { rust = $2 }
$1 == "sum" { sums[$2 "@" $3] = $4 }

$1 == "crate" {
    id = $4 "@" $5
    at_depth[$3] = id
    if (!(id in licences)) {
        order[++number] = id
        names[id] = $4
        versions[id] = $5
        # Older crates write "MIT/Apache-2.0", which is not an SPDX expression.
        licences[id] = $6
        gsub("/", " OR ", licences[id])
    }
    if (into[id] !~ $2 "$") into[id] = into[id] (into[id] == "" ? "" : " ") $2
    parent = at_depth[$3 - 1]
    if ($3 > 0 && parent != id && !((parent, id) in seen)) {
        seen[parent, id]
        needs[parent] = needs[parent] (needs[parent] == "" ? "" : "\n") id
    }
}

END {
    if (number < 2) exit 1
    main = order[1]
    sort(order, number)
    print "{"
    print "  \"bomFormat\": \"CycloneDX\","
    print "  \"specVersion\": \"1.5\","
    print "  \"version\": 1,"
    print "  \"metadata\": {\n    \"component\": " component(main) "\n  },"
    print "  \"components\": ["
    for (i = 1; i <= number; i++) if (order[i] != main) print "    " component(order[i]) ","
    print "    " standard_library()
    print "  ],"
    print "  \"dependencies\": ["
    for (i = 1; i <= number; i++) print "    " dependency(order[i]) (i < number ? "," : "")
    print "  ]"
    print "}"
}

function component(id,    text) {
    text = "{\"type\": \"library\", \"bom-ref\": " quoted(link(id)) ", \"name\": " quoted(names[id])
    text = text ", \"version\": " quoted(versions[id])
    if (id in sums) text = text ", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": " quoted(sums[id]) "}]"
    text = text ", \"licenses\": [{\"expression\": " quoted(licences[id]) "}], \"purl\": " quoted(link(id))
    return text ", \"properties\": [{\"name\": \"pam_ivalt:linked-into\", \"value\": " quoted(into[id]) "}]}"
}

# It comes with the compiler and is not in Cargo.lock.
function standard_library() {
    return "{\"type\": \"library\", \"name\": \"std\", \"version\": " quoted(rust) \
        ", \"licenses\": [{\"expression\": \"MIT OR Apache-2.0\"}]" \
        ", \"properties\": [{\"name\": \"pam_ivalt:linked-into\", \"value\": \"pam_ivalt.so ivaltctl\"}]}"
}

function dependency(id,    list, count, i, text) {
    count = split(needs[id], list, "\n")
    sort(list, count)
    for (i = 1; i <= count; i++) text = text (i > 1 ? ", " : "") quoted(link(list[i]))
    return "{\"ref\": " quoted(link(id)) ", \"dependsOn\": [" text "]}"
}

# A package URL, in which a plus sign would mean a space.
function link(id) {
    gsub(/\+/, "%2B", id)
    return "pkg:cargo/" id
}

function quoted(text) {
    gsub(/\\/, "\\\\", text)
    gsub(/"/, "\\\"", text)
    return "\"" text "\""
}

function sort(list, count,    i, j, item) {
    for (i = 2; i <= count; i++) {
        item = list[i]
        for (j = i - 1; j > 0 && list[j] > item; j--) list[j + 1] = list[j]
        list[j + 1] = item
    }
}
