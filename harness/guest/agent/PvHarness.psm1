# The guest side of the harness: carries out the operations of harness/operations.py on Windows.
#
# Windows PowerShell 5.1 only. This file and the *.ps1 beside it are put together into one module text by
# harness/guest/agent/__init__.py, which also adds $script:PvOperations, the table of operations. A function
# per operation gives ordered hashtables whose keys are the fields of the result; everything about JSON is in
# json.ps1, everything about the wire in this file. No text that Windows translates is ever read.
[Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Scope = 'Function', Target = '*', Justification = 'The harness asks for each operation on purpose; nobody is there to confirm.')]
[Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseSingularNouns', '', Scope = 'Function', Target = '*', Justification = 'The names are those of harness/operations.py.')]
param()

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$script:PvMark = 'PVH '

# Reads requests from stdin and answers each with one line, until the end of stdin.
function Start-PvHarness {
    param([string] $Digest)
    Write-PvMessage ([ordered]@{ ready = [ordered]@{ shell = $PSVersionTable.PSVersion.ToString(); module = $Digest } })
    while ($null -ne ($line = [Console]::In.ReadLine())) {
        if ($line.Trim().Length -gt 0) {
            Invoke-PvRequest $line
        }
    }
}

function Invoke-PvRequest {
    param([string] $Line)
    try {
        $request = Read-PvRequest $Line
    } catch {
        Write-PvMessage (Get-PvRefusal -Id $null -Kind 'bad-request' -Detail $_.Exception.Message)
        return
    }
    $answer = Get-PvRefusal -Id $request.id -Kind 'command-failed' -Detail 'the operation ended PowerShell by exit'
    try {
        $answer = [ordered]@{ id = $request.id; ok = $true; result = (Invoke-PvOperation $request) }
        $text = ConvertTo-PvJson $answer
    } catch {
        $answer = Get-PvRefusal -Id $request.id -Kind (Get-PvErrorKind $_ $request.op) -Detail $_.Exception.Message
        $text = ConvertTo-PvJson $answer
    } finally {
        # `exit` unwinds through here without being caught: it is answered before the process ends
        if ($null -eq (Get-Variable -Name text -Scope Local -ErrorAction Ignore)) {
            $text = ConvertTo-PvJson $answer
        }
        Write-PvLine $text
    }
}

function Write-PvMessage {
    param([Collections.IDictionary] $Message)
    Write-PvLine (ConvertTo-PvJson $Message)
}

# The line break in front: a program may have left half a line of its own on stdout.
function Write-PvLine {
    param([string] $Json)
    [Console]::Out.Write("`n" + $script:PvMark + $Json + "`n")
    [Console]::Out.Flush()
}

function Get-PvRefusal {
    param($Id, [string] $Kind, [string] $Detail)
    [ordered]@{ id = $Id; ok = $false; error = [ordered]@{ kind = $Kind; detail = $Detail } }
}

function Read-PvRequest {
    param([string] $Line)
    $request = ConvertFrom-PvJson $Line
    $whole = $request -is [Collections.IDictionary] -and $request.Contains('id') -and $request.Contains('op') -and
        $request.Contains('params') -and $request.id -is [long] -and $request.op -is [string] -and
        $request.params -is [Collections.IDictionary]
    if (-not $whole) {
        throw 'not a request: id, op and params are wanted'
    }
    $request
}

# Runs the function of an operation; what it writes to any stream but its output is dropped.
function Invoke-PvOperation {
    param([Collections.IDictionary] $Request)
    if (-not $script:PvOperations.ContainsKey($Request.op)) {
        Stop-PvOperation 'bad-request' ("there is no operation '{0}'" -f $Request.op)
    }
    $operation = $script:PvOperations[$Request.op]
    $arguments = Get-PvArgument $Request $operation
    $output = @(& $operation.Function @arguments 3>$null 4>$null 5>$null 6>$null)
    switch ($operation.Gives) {
        'nothing' { return $null }
        'many' { return , $output }
    }
    if ($output.Count -ne 1) {
        Stop-PvOperation 'command-failed' ('{0} gave {1} results' -f $operation.Function, $output.Count)
    }
    $output[0]
}

# The parameters of a request by the names PowerShell gives them; each is wanted, none other is taken.
function Get-PvArgument {
    param([Collections.IDictionary] $Request, [hashtable] $Operation)
    $wanted = $Operation.Parameters
    $given = $Request.params
    $same = $given.Count -eq $wanted.Count -and @($wanted.Keys | Where-Object { -not $given.Contains($_) }).Count -eq 0
    if (-not $same) {
        Stop-PvOperation 'bad-parameter' ('{0} takes {1}; got {2}' -f $Request.op, ($wanted.Keys -join ', '), ($given.Keys -join ', '))
    }
    $arguments = @{}
    foreach ($name in $wanted.Keys) {
        if (-not (Test-PvType $given[$name] $wanted[$name])) {
            Stop-PvOperation 'bad-parameter' ('{0} must be of type {1}' -f $name, $wanted[$name])
        }
        $arguments[$name.Replace('_', '')] = $given[$name]
    }
    $arguments
}

function Test-PvType {
    param($Value, [string] $Type)
    switch ($Type) {
        'text' { return $Value -is [string] }
        'number' { return $Value -is [long] }
        'truth' { return $Value -is [bool] }
        'texts' { return $Value -is [array] -and @($Value | Where-Object { $_ -isnot [string] }).Count -eq 0 }
    }
    return $false
}

# Ends an operation with an answer of that kind.
function Stop-PvOperation {
    param([string] $Kind, [string] $Detail)
    throw [Management.Automation.ErrorRecord]::new([InvalidOperationException]::new($Detail), "PvHarness:$Kind", 'NotSpecified', $null)
}

# Which kind of answer an error is, by ids, types and HRESULTs: its message may be in any language.
function Get-PvErrorKind {
    param([Management.Automation.ErrorRecord] $Record, [string] $Op)
    $id = [string] $Record.FullyQualifiedErrorId
    if ($id -match '^PvHarness:([a-z-]+)') {
        return $Matches[1]
    }
    if ($Record.Exception -is [Management.Automation.CommandNotFoundException]) {
        return 'command-failed'
    }
    if ($Record.Exception -is [Management.Automation.ParameterBindingException]) {
        $ours = $Record.InvocationInfo.MyCommand.Name -eq $script:PvOperations[$Op].Function
        return $(if ($ours) { 'bad-parameter' } else { 'command-failed' })
    }
    if ((Test-PvAccessError $Record)) {
        return 'access-denied'
    }
    if ((Test-PvMissingError $Record)) {
        return 'not-found'
    }
    'command-failed'
}

# 80070005 E_ACCESSDENIED, 80041003 WBEM_E_ACCESS_DENIED
function Test-PvAccessError {
    param([Management.Automation.ErrorRecord] $Record)
    if ($Record.CategoryInfo.Category -eq 'PermissionDenied' -or $Record.FullyQualifiedErrorId -match '^HRESULT 0x(80070005|80041003)') {
        return $true
    }
    for ($inner = $Record.Exception; $null -ne $inner; $inner = $inner.InnerException) {
        if ($inner -is [UnauthorizedAccessException] -or $inner -is [Security.SecurityException] -or
            ('{0:x8}' -f $inner.HResult) -in '80070005', '80041003') {
            return $true
        }
    }
    $false
}

# 80041002 WBEM_E_NOT_FOUND, 80070002 file, 80070003 path, 80070490 element not found
function Test-PvMissingError {
    param([Management.Automation.ErrorRecord] $Record)
    if ($Record.CategoryInfo.Category -eq 'ObjectNotFound' -or $Record.FullyQualifiedErrorId -match '^HRESULT 0x(80041002|80070002|80070490)') {
        return $true
    }
    for ($inner = $Record.Exception; $null -ne $inner; $inner = $inner.InnerException) {
        if (('{0:x8}' -f $inner.HResult) -in '80041002', '80070002', '80070003', '80070490') {
            return $true
        }
    }
    $false
}
