# JSON in and out, the one place that knows its traps.
#
# ConvertTo-Json and ConvertFrom-Json of 5.1 are not used: they stop at depth 2, unwrap one-element arrays,
# write dates as \/Date(ms)\/ and read such texts as dates, and leave text beyond ASCII as it is.

# Plain values as ASCII JSON: hashtables, arrays, text, numbers, truth values, $null. Anything else is an error.
function ConvertTo-PvJson {
    param($Value)
    $json = [Text.StringBuilder]::new()
    Add-PvJson $json $Value
    $json.ToString()
}

function Add-PvJson {
    param([Text.StringBuilder] $Json, $Value)
    if ($null -eq $Value) {
        $null = $Json.Append('null')
    } elseif ($Value -is [string]) {
        $null = $Json.Append('"').Append((ConvertTo-PvEscaped $Value)).Append('"')
    } elseif ($Value -is [bool]) {
        $null = $Json.Append($(if ($Value) { 'true' } else { 'false' }))
    } elseif ($Value -is [Collections.IDictionary]) {
        $separator = '{'
        foreach ($key in $Value.Keys) {
            $null = $Json.Append($separator).Append('"').Append((ConvertTo-PvEscaped $key)).Append('":')
            Add-PvJson $Json $Value[$key]
            $separator = ','
        }
        $null = $Json.Append($(if ($Value.Count) { '}' } else { '{}' }))
    } elseif ($Value -is [array]) {
        $separator = '['
        foreach ($item in $Value) {
            $null = $Json.Append($separator)
            Add-PvJson $Json $item
            $separator = ','
        }
        $null = $Json.Append($(if ($Value.Count) { ']' } else { '[]' }))
    } elseif (Test-PvInteger $Value) {
        $null = $Json.Append($Value.ToString([Globalization.CultureInfo]::InvariantCulture))
    } else {
        throw ('a result holds a {0}, which has no JSON' -f $Value.GetType().FullName)
    }
}

function Test-PvInteger {
    param($Value)
    $Value -is [int] -or $Value -is [long] -or $Value -is [uint32] -or $Value -is [uint64] -or
        $Value -is [byte] -or $Value -is [int16] -or $Value -is [uint16]
}

# Everything but printable ASCII without quote and backslash becomes \uXXXX.
function ConvertTo-PvEscaped {
    param([string] $Text)
    [regex]::Replace($Text, '[^\x20-\x21\x23-\x5b\x5d-\x7e]', { '\u{0:x4}' -f [int] [char] $args[0].Value })
}

# JSON as ordered hashtables, arrays, text, [long], truth values and $null, by .NET's own reader, which
# leaves text as it is. It takes what is cut off for whole: that is looked for first.
function ConvertFrom-PvJson {
    param([string] $Text)
    Assert-PvWholeJson $Text
    Add-Type -AssemblyName System.Runtime.Serialization
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text)
    $reader = [Runtime.Serialization.Json.JsonReaderWriterFactory]::CreateJsonReader($bytes, [Xml.XmlDictionaryReaderQuotas]::Max)
    $document = [Xml.XmlDocument]::new()
    $document.PreserveWhitespace = $true
    $document.Load($reader)
    ConvertFrom-PvElement $document.DocumentElement
}

function Assert-PvWholeJson {
    param([string] $Text)
    $bare = [regex]::Replace($Text, '"(?:[^"\\]|\\.)*"', '')
    foreach ($pair in '{}', '[]') {
        if ($bare.Split($pair[0]).Count -ne $bare.Split($pair[1]).Count) {
            throw 'the line is cut off or damaged'
        }
    }
    if ($bare.Contains('"') -or -not $bare.Trim().EndsWith('}')) {
        throw 'the line is cut off or damaged'
    }
}

function ConvertFrom-PvElement {
    param([Xml.XmlElement] $Element)
    switch ($Element.GetAttribute('type')) {
        'null' { return $null }
        'boolean' { return $Element.InnerText -eq 'true' }
        'number' { return [long]::Parse($Element.InnerText, [Globalization.CultureInfo]::InvariantCulture) }
        'array' {
            $items = foreach ($child in $Element.ChildNodes) {
                , (ConvertFrom-PvElement $child)
            }
            return , @($items)
        }
        'object' {
            $fields = [ordered]@{}
            foreach ($child in $Element.ChildNodes) {
                # a name that XML does not allow stands in the attribute `item`
                $name = $(if ($child.HasAttribute('item')) { $child.GetAttribute('item') } else { $child.LocalName })
                $fields[$name] = ConvertFrom-PvElement $child
            }
            return $fields
        }
    }
    $Element.InnerText
}
