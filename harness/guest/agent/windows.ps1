# How the operations ask Windows: CIM, registry, programs; and values made plain.

# Instances of a CIM class.
function Get-PvInstance {
    param([string] $Class, [string] $Namespace = 'root/cimv2', [string] $Filter)
    $query = @{ ClassName = $Class; Namespace = $Namespace }
    if ($Filter) {
        $query.Filter = $Filter
    }
    Get-CimInstance @query
}

# Whether an error says that this Windows has no such class: 8004100E WBEM_E_INVALID_NAMESPACE,
# 80041010 WBEM_E_INVALID_CLASS.
function Test-PvNoClass {
    param([Management.Automation.ErrorRecord] $Record)
    $Record.FullyQualifiedErrorId -match '^HRESULT 0x(8004100E|80041010)'
}

# A WQL literal: the quote and the backslash are escaped by a backslash.
function ConvertTo-PvWql {
    param([string] $Text)
    "'" + $Text.Replace('\', '\\').Replace("'", "\'") + "'"
}

# A property that older versions of a class lack.
function Get-PvProperty {
    param($Object, [string] $Name)
    $property = $Object.PSObject.Properties[$Name]
    # a value in either case: "no output" becomes no text when it is cast to text
    if ($null -ne $property) { $property.Value } else { $null }
}

# A value of HKEY_LOCAL_MACHINE; nothing where key or value is missing.
function Get-PvRegistryValue {
    param([string] $Key, [string] $Name)
    if (Test-Path -LiteralPath "HKLM:\$Key") {
        Get-PvProperty (Get-ItemProperty -LiteralPath "HKLM:\$Key") $Name
    }
}

# The names of a key's subkeys.
function Get-PvRegistryKey {
    param([string] $Key)
    if (Test-Path -LiteralPath "HKLM:\$Key") {
        Get-ChildItem -LiteralPath "HKLM:\$Key" | ForEach-Object { $_.PSChildName }
    }
}

# Sorts hashtables by a key's text, by code points: Sort-Object would use the guest's language.
function Get-PvSorted {
    param([object[]] $Items, [string] $Key)
    $sorted = [Collections.Generic.SortedDictionary[string, object]]::new([StringComparer]::Ordinal)
    foreach ($item in @($Items | Where-Object { $null -ne $_ })) {
        # the number keeps those with the same text apart, in their order
        $sorted.Add(('{0}{1}{2:d9}' -f $item[$Key], [char] 0, $sorted.Count), $item)
    }
    $sorted.Values
}

# Text as an array that JSON keeps as one, whatever the source gave: nothing, one, many.
function ConvertTo-PvTexts {
    param($Value)
    , [string[]] @($Value | Where-Object { $null -ne $_ } | ForEach-Object { [string] $_ })
}

function ConvertTo-PvNumber {
    param($Value)
    if ($null -eq $Value -or $Value -eq '') {
        return [long] 0
    }
    [long] $Value
}

# ISO 8601 in UTC with ticks.
function ConvertTo-PvTime {
    param([datetime] $Time)
    $Time.ToUniversalTime().ToString('o', [Globalization.CultureInfo]::InvariantCulture)
}

# 001122AABBCC, 00-11-22-AA-BB-CC or 00:11:22:AA:BB:CC as 00:11:22:aa:bb:cc.
function ConvertTo-PvMac {
    param([string] $Address)
    (($Address -replace '[^0-9A-Fa-f]', '').ToLowerInvariant() -replace '(..)(?!$)', '$1:')
}

# One argument, quoted as CommandLineToArgvW and the C runtime take it apart.
function ConvertTo-PvArgument {
    param([string] $Argument)
    if ($Argument -match '^[^\s"]+$') {
        return $Argument
    }
    '"' + (($Argument -replace '(\\*)"', '$1$1\"') -replace '(\\+)$', '$1$1') + '"'
}

function ConvertTo-PvArguments {
    param([string[]] $Arguments)
    @($Arguments | ForEach-Object { ConvertTo-PvArgument $_ }) -join ' '
}

# Runs a program of Windows to its end. What it prints is for people only; stdin is closed, or it would
# eat the next request.
function Invoke-PvProgram {
    param([string] $Program, [string[]] $Arguments)
    $start = [Diagnostics.ProcessStartInfo]::new($Program, (ConvertTo-PvArguments $Arguments))
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $process = [Diagnostics.Process]::Start($start)
    $process.StandardInput.Close()
    $complaint = $process.StandardError.ReadToEndAsync()
    $output = $process.StandardOutput.ReadToEnd()
    $process.WaitForExit()
    [pscustomobject] @{ ExitCode = $process.ExitCode; Output = ($output + $complaint.Result).Trim() }
}

# Runs a program that must end with 0.
function Invoke-PvTool {
    param([string] $Program, [string[]] $Arguments)
    $done = Invoke-PvProgram $Program $Arguments
    if ($done.ExitCode -ne 0) {
        Stop-PvOperation 'command-failed' ('{0} ended with {1}: {2}' -f $Program, $done.ExitCode, $done.Output)
    }
}
